// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {HomeSets} from "../src/HomeSets.sol";
import {NodeRegistry} from "../src/NodeRegistry.sol";
import {StakeToken} from "../src/StakeToken.sol";
import {IHomeSets} from "../src/interfaces/IHomeSets.sol";
import {INodeRegistry} from "../src/interfaces/INodeRegistry.sol";
import {RegistryFixture} from "./NodeRegistry.t.sol";

/// @title The network of vectors/directory.json, to be lived through on chain epoch by epoch.
abstract contract LivedNetwork is RegistryFixture {
    address internal constant OPERATOR = address(0xB0B);
    string internal json;
    HomeSets internal homes;
    address[] internal nodes;
    uint256 internal stepsDone;

    function setUp() public virtual {
        json = vm.readFile("../vectors/directory.json");
        vm.warp(vm.parseJsonUint(json, ".schedule.genesis") - 1_000);
        stakeToken = new StakeToken(address(this), 1e27);
        registry = new NodeRegistry(
            stakeToken,
            MINIMUM,
            0,
            uint64(vm.parseJsonUint(json, ".schedule.length")),
            uint64(vm.parseJsonUint(json, ".schedule.closing"))
        );
        registry.begin(uint64(vm.parseJsonUint(json, ".schedule.genesis")));
        registry.appointCourt(address(this));
        homes = new HomeSets(registry, _parameters());
        _fund(OPERATOR);
        for (uint256 n = 0; vm.keyExistsJson(json, _at(".nodes", n, "")); ++n) {
            nodes.push(vm.addr(_uint(_at(".nodes", n, ".key"))));
        }
    }

    function _isRefutedBySomebody(IHomeSets.Claim memory claim) internal view returns (bool) {
        if (homes.refutes(claim, address(0))) return true;
        for (uint256 n = 0; n < nodes.length; ++n) {
            if (homes.refutes(claim, nodes[n])) return true;
        }
        return false;
    }

    /// @dev Does what the history has up to the closing of an epoch, each step at its time, and goes on to the next second.
    function _live(uint256 epochIndex) internal {
        uint256 closesAt = _uint(_at(".epochs", epochIndex, ".closesAt"));
        for (; vm.keyExistsJson(json, _at(".history", stepsDone, "")); ++stepsDone) {
            uint256 time = _uint(_at(".history", stepsDone, ".time"));
            if (time > closesAt) break;
            vm.warp(time);
            _do(_at(".history", stepsDone, ""));
        }
        vm.warp(closesAt + 1);
    }

    function _do(string memory step) internal {
        uint256 n = _uint(_join(step, ".node"));
        bytes32 kind = keccak256(bytes(vm.parseJsonString(json, _join(step, ".kind"))));
        if (kind == keccak256("register")) {
            bool isAnchor = keccak256(bytes(vm.parseJsonString(json, _join(step, ".role")))) == keccak256("anchor");
            INodeRegistry.Role role = isAnchor ? INodeRegistry.Role.Anchor : INodeRegistry.Role.Service;
            _register(OPERATOR, _uint(_at(".nodes", n, ".key")), _uint(_at(".nodes", n, ".stake")), role);
        } else if (kind == keccak256("unbond")) {
            vm.prank(OPERATOR);
            registry.unbond(nodes[n]);
        } else if (kind == keccak256("jail")) {
            registry.jail(nodes[n], uint64(_uint(_join(step, ".until"))));
        } else {
            registry.release(nodes[n]);
        }
    }

    function _record(uint256 epochIndex) internal {
        _mine(epochIndex);
        (bytes memory header, bytes memory parent) = _headers(epochIndex);
        homes.record(_epoch(epochIndex), header, parent);
    }

    function _mine(uint256 epochIndex) internal {
        uint256 number = _uint(_at(".epochs", epochIndex, ".number"));
        vm.roll(number + 1);
        vm.setBlockhash(number, keccak256(_headerAt(epochIndex)));
    }

    function _headers(uint256 epochIndex) internal view returns (bytes memory, bytes memory) {
        return (_headerAt(epochIndex), vm.parseJsonBytes(json, _at(".epochs", epochIndex, ".parentHeader")));
    }

    function _headerAt(uint256 epochIndex) internal view returns (bytes memory) {
        return vm.parseJsonBytes(json, _at(".epochs", epochIndex, ".header"));
    }

    function _claim(uint256 epochIndex, uint256 home) internal view returns (IHomeSets.Claim memory) {
        string memory path = _homePath(epochIndex, home);
        address[] memory anchors = vm.parseJsonAddressArray(json, _join(path, ".anchors"));
        return IHomeSets.Claim(_epoch(epochIndex), uint32(_uint(_join(path, ".shard"))), anchors);
    }

    function _parameters() internal view returns (IHomeSets.Parameters memory) {
        return IHomeSets.Parameters(
            uint32(_uint(".parameters.shardCount")),
            uint32(_uint(".parameters.rotation")),
            uint32(_uint(".parameters.homeSize")),
            _uint(".parameters.weight.unit"),
            _uint(".parameters.weight.cap")
        );
    }

    function _has(uint256 epochIndex) internal view returns (bool) {
        return vm.keyExistsJson(json, _at(".epochs", epochIndex, ""));
    }

    function _epoch(uint256 epochIndex) internal view returns (uint64) {
        return uint64(_uint(_at(".epochs", epochIndex, ".epoch")));
    }

    function _homePath(uint256 epochIndex, uint256 home) internal pure returns (string memory) {
        return _at(_at(".epochs", epochIndex, ".homes"), home, "");
    }

    function _with(IHomeSets.Claim memory claim, address[] memory anchors)
        internal
        pure
        returns (IHomeSets.Claim memory)
    {
        return IHomeSets.Claim(claim.epoch, claim.shard, anchors);
    }

    function _list(address a, address b, address c) internal pure returns (address[] memory list) {
        list = new address[](3);
        (list[0], list[1], list[2]) = (a, b, c);
    }

    function _list(address a, address b, address c, address d) internal pure returns (address[] memory) {
        return _list(_list(a, b, c), d);
    }

    function _list(address[] memory first, address last) internal pure returns (address[] memory list) {
        list = new address[](first.length + 1);
        for (uint256 i = 0; i < first.length; ++i) {
            list[i] = first[i];
        }
        list[first.length] = last;
    }

    function _includes(address[] memory list, address wanted) internal pure returns (bool) {
        for (uint256 i = 0; i < list.length; ++i) {
            if (list[i] == wanted) return true;
        }
        return false;
    }

    function _uint(string memory path) internal view returns (uint256) {
        return vm.parseJsonUint(json, path);
    }

    function _at(string memory list, uint256 index, string memory member) internal pure returns (string memory) {
        return string(abi.encodePacked(list, "[", vm.toString(index), "]", member));
    }

    function _join(string memory a, string memory b) internal pure returns (string memory) {
        return string(abi.encodePacked(a, b));
    }
}
