// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {HomeSets} from "../src/HomeSets.sol";
import {IHomeSets} from "../src/interfaces/IHomeSets.sol";
import {INodeRegistry} from "../src/interfaces/INodeRegistry.sol";
import {LivedNetwork} from "./LivedNetwork.sol";

/// @title The chain comes to the beacons, members and homes of vectors/directory.json.
contract HomeSetsTest is LivedNetwork {
    function test_the_schedule_has_the_epochs_of_the_vectors() public view {
        uint256 count = 0;
        for (; vm.keyExistsJson(json, _at(".times", count, "")); ++count) {
            uint256 time = _uint(_at(".times", count, ".time"));
            same(registry.epochAt(time), _uint(_at(".times", count, ".epoch")), "epoch");
            same(registry.openEpochAt(time), _uint(_at(".times", count, ".open")), "open epoch");
        }
        require(count > 10, "no times in the vectors");
    }

    function test_every_epoch_of_the_vectors_has_its_beacon_and_its_members() public {
        uint256 count = 0;
        for (; _has(count); ++count) {
            _live(count);
            _record(count);
            string memory path = _at(".epochs", count, "");
            same(homes.beaconOf(_epoch(count)), vm.parseJsonBytes32(json, _join(path, ".beacon")), "beacon");
            same(registry.closesAt(_epoch(count)), _uint(_join(path, ".closesAt")), "closing");
            address[] memory members = vm.parseJsonAddressArray(json, _join(path, ".members"));
            uint256 found = 0;
            for (uint256 n = 0; n < nodes.length; ++n) {
                bool isMember = _isMember(nodes[n], _epoch(count));
                require(isMember == _includes(members, nodes[n]), _join(path, " members"));
                if (isMember) ++found;
            }
            same(found, members.length, "members");
        }
        require(count > 5, "no epochs in the vectors");
    }

    function test_a_right_claim_is_refuted_by_nobody() public {
        for (uint256 i = 0; _has(i); ++i) {
            _live(i);
            _record(i);
            for (uint256 h = 0; vm.keyExistsJson(json, _homePath(i, h)); ++h) {
                require(!_isRefutedBySomebody(_claim(i, h)), _join("a right claim refuted: ", _homePath(i, h)));
            }
        }
    }

    function test_only_the_first_block_after_closing_gives_the_beacon() public {
        _live(0);
        (bytes memory header, bytes memory parent) = _headers(0);
        bytes memory other = _headerAt(1);
        vm.expectRevert(abi.encodeWithSelector(IHomeSets.BlockUnknown.selector, uint256(1_000), keccak256(header)));
        homes.record(1, header, parent);
        _mine(0);
        vm.expectRevert(abi.encodeWithSelector(IHomeSets.NotParent.selector, keccak256(parent), keccak256(other)));
        homes.record(1, header, other);
        bytes memory expected = abi.encodeWithSelector(
            IHomeSets.NotFirstBlock.selector, registry.closesAt(1), registry.closesAt(1) + 2, registry.closesAt(2)
        );
        vm.expectRevert(expected);
        homes.record(2, header, parent);
        vm.expectRevert(abi.encodeWithSelector(IHomeSets.EpochUnknown.selector, uint64(0)));
        homes.record(0, header, parent);
        homes.record(1, header, parent);
        vm.expectRevert(abi.encodeWithSelector(IHomeSets.BeaconKnown.selector, uint64(1)));
        homes.record(1, header, parent);
    }

    function test_a_block_that_the_chain_no_longer_remembers_gives_no_beacon() public {
        _live(0);
        _mine(0);
        (bytes memory header, bytes memory parent) = _headers(0);
        vm.roll(1_000 + 257);
        vm.expectRevert(abi.encodeWithSelector(IHomeSets.BlockUnknown.selector, uint256(1_000), keccak256(header)));
        homes.record(1, header, parent);
    }

    function test_parameters_that_nodes_could_not_compute_with_are_refused() public {
        IHomeSets.Parameters memory p = _parameters();
        p.weightCap = 2 ** 22;
        vm.expectRevert(abi.encodeWithSelector(IHomeSets.ParametersInvalid.selector));
        new HomeSets(registry, p);
    }
}

/// @title Claims about the first home of epoch 3: a leaver is gone by then, and another node is jailed.
contract RefutationTest is LivedNetwork {
    uint256 private constant REFUTATION_GAS = 200_000;

    function setUp() public override {
        super.setUp();
        for (uint256 i = 0; i < 3; ++i) {
            _live(i);
            _record(i);
        }
    }

    function test_what_is_wrong_with_a_claim_shows() public view {
        IHomeSets.Claim memory right = _claim(2, 0);
        address outsider = _outsider(right);
        address[] memory a = right.anchors;
        _wrong("another order", _with(right, _list(a[1], a[0], a[2], a[3])), address(0));
        _wrong("one twice", _with(right, _list(a[0], a[0], a[1], a[2])), address(0));
        _wrong("one too many", _with(right, _list(a, outsider)), address(0));
        _wrong("one left out", _with(right, _list(a[0], a[1], a[2])), a[3]);
        _wrong("none", _with(right, new address[](0)), outsider);
        _wrong("an outsider for the first", _with(right, _list(a[1], a[2], a[3], outsider)), a[0]);
        _wrong("a stranger", _with(right, _list(a[0], a[1], a[2], address(0xBAD))), address(0));
        _wrong("a service node", _with(right, _list(a[0], a[1], a[2], nodes[10])), address(0));
        require(!homes.refutes(right, address(0xBAD)), "refuted by a stranger");
        require(!homes.refutes(right, nodes[10]), "refuted by a service node");
        require(!homes.refutes(right, a[3]), "refuted by one of its own");
    }

    /// @dev Every list of up to five nodes, anchors or not, in any order, with repetitions.
    function testFuzz_a_claim_is_refuted_exactly_when_it_is_wrong(uint256 seed) public view {
        IHomeSets.Claim memory right = _claim(2, 0);
        uint256 count = seed % 6;
        address[] memory claimed = new address[](count);
        for (uint256 i = 0; i < count; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            bool isRight = i < right.anchors.length && seed % 8 != 0;
            claimed[i] = isRight ? right.anchors[i] : nodes[(seed >> 8) % nodes.length];
        }
        bool isWrong = keccak256(abi.encode(claimed)) != keccak256(abi.encode(right.anchors));
        require(_isRefutedBySomebody(_with(right, claimed)) == isWrong, "refuted although right, or the other way");
    }

    function test_a_refutation_is_cheap_enough_to_be_sent() public view {
        IHomeSets.Claim memory right = _claim(2, 0);
        address outsider = _outsider(right);
        uint256 before = gasleft();
        homes.refutes(right, outsider);
        uint256 used = before - gasleft();
        require(used < REFUTATION_GAS, _join("gas of a refutation: ", vm.toString(used)));
    }

    function test_claims_are_judged_once_their_epoch_is_closed_and_while_its_stakes_are_bound() public {
        IHomeSets.Claim memory right = _claim(2, 0);
        right.epoch += 1;
        vm.expectRevert(abi.encodeWithSelector(IHomeSets.EpochOpen.selector, right.epoch));
        homes.refutes(right, address(0));
        right.epoch -= 1;
        uint256 end = registry.closesAt(right.epoch + 2) + registry.closing();
        vm.warp(end - 1);
        require(!homes.refutes(right, address(0)), "refuted later");
        vm.warp(end);
        vm.expectRevert(abi.encodeWithSelector(IHomeSets.EpochTooOld.selector, right.epoch));
        homes.refutes(right, address(0));
    }

    function test_without_its_beacon_nothing_is_judged() public {
        IHomeSets.Claim memory right = _claim(2, 0);
        _live(3);
        vm.warp(block.timestamp + 5);
        right.epoch = 4;
        right.shard = 4; // drawn in epoch 4
        vm.expectRevert(abi.encodeWithSelector(IHomeSets.BeaconUnknown.selector, uint64(4)));
        homes.refutes(right, address(0));
        right.shard = 64;
        vm.expectRevert(abi.encodeWithSelector(IHomeSets.ShardUnknown.selector, uint32(64)));
        homes.refutes(right, address(0));
    }

    function testFuzz_bytes_that_are_no_header_are_refused(bytes calldata header) public {
        (bool done,) = address(homes).call(abi.encodeCall(homes.record, (4, header, header)));
        require(!done && homes.beaconOf(4) == 0, "recorded out of nothing");
    }

    function _wrong(string memory what, IHomeSets.Claim memory claim, address outsider) private view {
        require(homes.refutes(claim, outsider), what);
    }

    /// @dev An anchor of the claim's epoch that is not in the home.
    function _outsider(IHomeSets.Claim memory claim) private view returns (address) {
        for (uint256 n = 0; n < nodes.length; ++n) {
            bool isAnchor = registry.standingOf(nodes[n]).role == INodeRegistry.Role.Anchor;
            if (isAnchor && _isMember(nodes[n], claim.epoch) && !_includes(claim.anchors, nodes[n])) return nodes[n];
        }
        revert("all anchors are in the home");
    }
}
