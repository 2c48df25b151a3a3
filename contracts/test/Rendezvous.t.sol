// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Rendezvous} from "../src/libraries/Rendezvous.sol";
import {Test} from "./Vm.sol";

/// @title The chain draws as the nodes do: both check vectors/directory.json.
contract RendezvousTest is Test {
    string private json;

    function setUp() public {
        json = vm.readFile("../vectors/directory.json");
    }

    function test_the_hash_is_the_authors_own_vector() public pure {
        bytes32 message = 0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f;
        same(Rendezvous.halfSipHash(message, message), 0x1221e7fe, "HalfSipHash-2-4 of 32 bytes");
    }

    function test_every_ticket_of_the_vectors_comes_out_alike() public view {
        uint256 count = 0;
        for (; _exists(".tickets", count); ++count) {
            uint32 draw = uint32(_uint(".tickets", count, ".draw"));
            same(Rendezvous.ticketOfDraw(draw), _uint(".tickets", count, ".ticket"), "ticket");
        }
        require(count > 20, "no tickets in the vectors");
    }

    function test_every_node_of_the_vectors_has_its_weight_and_ticket() public view {
        uint256 unit = vm.parseJsonUint(json, ".parameters.weight.unit");
        uint256 cap = vm.parseJsonUint(json, ".parameters.weight.cap");
        uint256 count = 0;
        for (; _exists(".nodes", count); ++count) {
            address node = vm.parseJsonAddress(json, _at(".nodes", count, ".node"));
            bytes32 salt = vm.parseJsonBytes32(json, _at(".nodes", count, ".salt"));
            uint256 stake = _uint(".nodes", count, ".stake");
            same(Rendezvous.weightOf(stake, unit, cap), _uint(".nodes", count, ".weight"), "weight");
            same(Rendezvous.ticketOf(salt, node), _uint(".nodes", count, ".ticket"), "ticket of a node");
        }
        require(count > 10, "no nodes in the vectors");
    }

    function test_every_token_of_the_vectors_has_its_shard() public view {
        uint256 count = 0;
        for (; _exists(".shards", count); ++count) {
            bytes32 tokenType = vm.parseJsonBytes32(json, _at(".shards", count, ".tokenType"));
            bytes32 typeSalt =
                Rendezvous.typeSaltOf(tokenType, vm.parseJsonBytes32(json, _at(".shards", count, ".randomness")));
            same(typeSalt, vm.parseJsonBytes32(json, _at(".shards", count, ".typeSalt")), "type salt");
            bytes32 token = vm.parseJsonBytes32(json, _at(".shards", count, ".token"));
            uint256 shard = Rendezvous.shardOf(token, typeSalt, _uint(".shards", count, ".shardCount"));
            same(shard, _uint(".shards", count, ".shard"), "shard");
        }
        require(count > 5, "no shards in the vectors");
    }

    function test_every_shard_of_the_vectors_was_drawn_last_in_the_same_epoch() public view {
        uint256 count = 0;
        for (; _exists(".draws", count); ++count) {
            uint256 shard = _uint(".draws", count, ".shard");
            uint256 epoch = _uint(".draws", count, ".epoch");
            uint256 rotation = _uint(".draws", count, ".rotation");
            same(Rendezvous.lastDrawOf(shard, epoch, rotation), _uint(".draws", count, ".drawn"), "last draw");
        }
        require(count > 40, "no draws in the vectors");
    }

    function testFuzz_a_ticket_never_grows_with_the_draw(uint32 draw) public pure {
        vm.assume(draw < type(uint32).max);
        require(Rendezvous.ticketOfDraw(draw + 1) <= Rendezvous.ticketOfDraw(draw), "a higher draw has a worse ticket");
    }

    function _exists(string memory list, uint256 index) private view returns (bool) {
        return vm.keyExistsJson(json, _at(list, index, ""));
    }

    function _uint(string memory list, uint256 index, string memory member) private view returns (uint256) {
        return vm.parseJsonUint(json, _at(list, index, member));
    }

    function _at(string memory list, uint256 index, string memory member) private pure returns (string memory) {
        return string(abi.encodePacked(list, "[", vm.toString(index), "]", member));
    }
}
