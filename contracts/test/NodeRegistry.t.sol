// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {NodeRegistry} from "../src/NodeRegistry.sol";
import {StakeToken} from "../src/StakeToken.sol";
import {INodeRegistry} from "../src/interfaces/INodeRegistry.sol";
import {Test} from "./Vm.sol";

/// @title Signs registrations as an identity key would.
abstract contract RegistryFixture is Test {
    uint256 internal constant MINIMUM = 100 ether;
    uint256 internal constant UNBONDING = 14 days;
    uint64 internal constant EPOCH = 1 days;
    uint64 internal constant CLOSING = 1 hours;

    StakeToken internal stakeToken;
    NodeRegistry internal registry;

    function _deploy() internal {
        vm.warp(1_790_000_000);
        stakeToken = new StakeToken(address(this), 1e27);
        registry = new NodeRegistry(stakeToken, MINIMUM, UNBONDING, EPOCH, CLOSING);
    }

    function _registration(uint256 key, INodeRegistry.Role role)
        internal
        pure
        returns (INodeRegistry.Registration memory)
    {
        bytes32 transportKey = keccak256(abi.encode("transport", key));
        return INodeRegistry.Registration(
            vm.addr(key), role, transportKey, "127.0.0.1:7000", "http://127.0.0.1:8000", "op", "box"
        );
    }

    function _consent(uint256 key, address node, address account, bytes32 transportKey)
        internal
        view
        returns (bytes memory)
    {
        bytes32 typeHash = keccak256("Register(address node,address operatorAccount,bytes32 transportKey)");
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("SmartLayer"),
                keccak256("1"),
                block.chainid,
                address(registry)
            )
        );
        bytes32 message = keccak256(abi.encode(typeHash, node, account, transportKey));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, keccak256(abi.encodePacked("\x19\x01", domain, message)));
        return abi.encodePacked(r, s, v);
    }

    function _register(address account, uint256 key, uint256 stake) internal {
        _register(account, key, stake, INodeRegistry.Role.Service);
    }

    function _register(address account, uint256 key, uint256 stake, INodeRegistry.Role role) internal {
        INodeRegistry.Registration memory registration = _registration(key, role);
        bytes memory consent = _consent(key, registration.node, account, registration.transportKey);
        vm.prank(account);
        registry.register(registration, stake, consent);
    }

    function _isMember(address node, uint64 epoch) internal view returns (bool) {
        (INodeRegistry.Role role,) = registry.memberIn(node, epoch);
        return role != INodeRegistry.Role.None;
    }

    function _fund(address account) internal {
        stakeToken.transfer(account, 1_000_000 ether);
        vm.prank(account);
        stakeToken.approve(address(registry), type(uint256).max);
    }
}

contract NodeRegistryTest is RegistryFixture {
    uint256 private constant KEY = 0xA11CE;
    address private constant OPERATOR = address(0xB0B);
    address private constant STRANGER = address(0xBAD);

    function setUp() public {
        _deploy();
        _fund(OPERATOR);
    }

    function test_an_operator_registers_a_node_that_signed_for_it() public {
        _register(OPERATOR, KEY, MINIMUM);
        INodeRegistry.Node memory node = registry.nodeOf(vm.addr(KEY));
        same(uint256(node.role), 2, "role");
        same(node.stake, MINIMUM, "stake");
        same(node.transportKey, keccak256(abi.encode("transport", KEY)), "transport key");
        same(node.overlay, "127.0.0.1:7000", "overlay");
        same(node.api, "http://127.0.0.1:8000", "api");
        same(registry.accountOf(vm.addr(KEY)), OPERATOR, "account");
        same(stakeToken.balanceOf(address(registry)), MINIMUM, "held");
    }

    function test_a_consent_given_to_one_operator_is_of_no_use_to_another() public {
        _fund(STRANGER);
        INodeRegistry.Registration memory r = _registration(KEY, INodeRegistry.Role.Anchor);
        bytes memory consent = _consent(KEY, r.node, OPERATOR, r.transportKey);
        vm.prank(STRANGER);
        (bool done,) = address(registry).call(abi.encodeCall(registry.register, (r, MINIMUM, consent)));
        require(!done && registry.nodeCount() == 0, "registered with another's consent");
    }

    function test_a_signature_of_another_key_is_refused() public {
        INodeRegistry.Registration memory r = _registration(KEY, INodeRegistry.Role.Anchor);
        bytes memory consent = _consent(0xBAD, r.node, OPERATOR, r.transportKey);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.IdentityMismatch.selector, r.node, vm.addr(0xBAD)));
        vm.prank(OPERATOR);
        registry.register(r, MINIMUM, consent);
    }

    function test_a_node_is_registered_once() public {
        _register(OPERATOR, KEY, MINIMUM);
        INodeRegistry.Registration memory r = _registration(KEY, INodeRegistry.Role.Service);
        bytes memory consent = _consent(KEY, r.node, OPERATOR, r.transportKey);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeKnown.selector, r.node));
        vm.prank(OPERATOR);
        registry.register(r, MINIMUM, consent);
    }

    function test_a_role_is_needed() public {
        INodeRegistry.Registration memory r = _registration(KEY, INodeRegistry.Role.None);
        bytes memory consent = _consent(KEY, r.node, OPERATOR, r.transportKey);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.RoleMissing.selector));
        vm.prank(OPERATOR);
        registry.register(r, MINIMUM, consent);
    }

    function testFuzz_less_than_the_minimum_stake_is_refused(uint256 stake) public {
        stake %= MINIMUM;
        INodeRegistry.Registration memory r = _registration(KEY, INodeRegistry.Role.Service);
        bytes memory consent = _consent(KEY, r.node, OPERATOR, r.transportKey);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.StakeTooLow.selector, stake, MINIMUM));
        vm.prank(OPERATOR);
        registry.register(r, stake, consent);
    }

    function test_two_nodes_never_share_a_transport_key() public {
        _register(OPERATOR, KEY, MINIMUM);
        _register(OPERATOR, KEY + 1, MINIMUM);
        bytes32 taken = keccak256(abi.encode("transport", KEY));
        address second = vm.addr(KEY + 1);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.TransportKeyTaken.selector, taken, vm.addr(KEY)));
        vm.prank(OPERATOR);
        registry.update(second, taken, "a:1", "http://a");
    }

    function test_a_node_without_a_transport_key_is_refused() public {
        _register(OPERATOR, KEY, MINIMUM);
        address node = vm.addr(KEY);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.TransportKeyMissing.selector));
        vm.prank(OPERATOR);
        registry.update(node, 0, "a:1", "http://a");
    }

    function test_only_its_account_moves_a_node_to_other_endpoints() public {
        _register(OPERATOR, KEY, MINIMUM);
        address node = vm.addr(KEY);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotAccount.selector, STRANGER, OPERATOR));
        vm.prank(STRANGER);
        registry.update(node, "key", "b:2", "http://b");
        vm.prank(OPERATOR);
        registry.update(node, "key", "b:2", "http://b");
        same(registry.nodeOf(node).overlay, "b:2", "overlay");
        same(registry.nodeOf(node).transportKey, "key", "transport key");
    }

    function test_a_leaving_node_gets_its_stake_back_only_after_the_unbonding_time() public {
        _register(OPERATOR, KEY, MINIMUM);
        address node = vm.addr(KEY);
        uint256 end = block.timestamp + UNBONDING;
        vm.prank(OPERATOR);
        registry.unbond(node);
        same(registry.nodeCount(), 0, "members");
        vm.warp(end - 1);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.StillBonded.selector, end));
        vm.prank(OPERATOR);
        registry.withdraw(node);
        vm.warp(end);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotAccount.selector, STRANGER, OPERATOR));
        vm.prank(STRANGER);
        registry.withdraw(node);
        vm.prank(OPERATOR);
        registry.withdraw(node);
        same(stakeToken.balanceOf(OPERATOR), 1_000_000 ether, "stake returned");
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NodeUnknown.selector, node));
        vm.prank(OPERATOR);
        registry.withdraw(node);
    }

    function test_events_carry_the_whole_node_and_the_epochs_in_which_it_counts() public {
        registry.begin(uint64(block.timestamp));
        vm.warp(block.timestamp + 1);
        INodeRegistry.Registration memory r = _registration(KEY, INodeRegistry.Role.Anchor);
        bytes memory consent = _consent(KEY, r.node, OPERATOR, r.transportKey);
        vm.expectEmit();
        emit INodeRegistry.NodeRegistered(
            r.node,
            OPERATOR,
            INodeRegistry.Node(r.node, r.role, r.transportKey, r.overlay, r.api, r.operator, r.platform, MINIMUM),
            2
        );
        vm.prank(OPERATOR);
        registry.register(r, MINIMUM, consent);
        vm.expectEmit();
        emit INodeRegistry.NodeLeaving(r.node, MINIMUM, block.timestamp + UNBONDING, 2);
        vm.prank(OPERATOR);
        registry.unbond(r.node);
    }

    function test_the_deployer_alone_begins_the_epochs_once_and_not_in_the_past() public {
        uint64 time = uint64(block.timestamp);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotDeployer.selector, STRANGER, address(this)));
        vm.prank(STRANGER);
        registry.begin(time);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.GenesisInPast.selector, time - 1));
        registry.begin(time - 1);
        same(registry.epochAt(time), 0, "no epoch yet");
        registry.begin(time);
        same(registry.epochAt(time), 1, "the first epoch");
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.GenesisKnown.selector, time));
        registry.begin(time + 1);
    }

    function test_a_node_that_leaves_stays_a_member_of_what_is_closed_and_its_stake_is_bound_longer() public {
        registry = new NodeRegistry(stakeToken, MINIMUM, 0, EPOCH, CLOSING); // no unbonding time: epochs alone bind
        vm.prank(OPERATOR);
        stakeToken.approve(address(registry), type(uint256).max);
        _register(OPERATOR, KEY, MINIMUM);
        uint64 genesis = uint64(block.timestamp);
        registry.begin(genesis);
        address node = vm.addr(KEY);
        vm.warp(registry.closesAt(2) + 1);
        vm.prank(OPERATOR);
        registry.unbond(node);
        require(_isMember(node, 1) && _isMember(node, 2), "gone before its epochs ended");
        require(!_isMember(node, 3), "still there after leaving");
        uint256 end = genesis + 3 * EPOCH; // epoch 4 starts: two whole epochs after the one in which it left
        vm.warp(end - 1);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.StillBonded.selector, end));
        vm.prank(OPERATOR);
        registry.withdraw(node);
        vm.warp(end);
        vm.prank(OPERATOR);
        registry.withdraw(node);
        same(registry.standingOf(node).stake, 0, "standing of one who is gone");
    }

    function test_the_court_alone_jails_and_never_out_of_an_epoch_that_is_closed() public {
        _register(OPERATOR, KEY, MINIMUM);
        address node = vm.addr(KEY);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.NotCourt.selector, address(this), address(0)));
        registry.jail(node, 9);
        registry.appointCourt(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.CourtKnown.selector, STRANGER));
        registry.appointCourt(OPERATOR);
        registry.begin(uint64(block.timestamp));
        vm.warp(registry.closesAt(2) + 1);
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.SentenceTooShort.selector, uint64(3), uint64(3)));
        registry.jail(node, 3);
        vm.prank(STRANGER);
        registry.jail(node, 5);
        _members(node, "1100111");
        vm.warp(registry.closesAt(3) + 1);
        vm.prank(STRANGER);
        registry.release(node);
        _members(node, "1101111");
        vm.prank(STRANGER);
        registry.jail(node, 6);
        _members(node, "1100011");
        vm.warp(registry.closesAt(7));
        vm.prank(STRANGER);
        registry.jail(node, 8);
        _members(node, "1100010");
    }

    /// @param flags "1" for each epoch from 1 on in which the node is a member.
    function _members(address node, bytes memory flags) private view {
        for (uint64 i = 0; i < flags.length; ++i) {
            require(_isMember(node, i + 1) == (flags[i] == "1"), string(abi.encodePacked("epoch ", vm.toString(i + 1))));
        }
    }

    function testFuzz_a_change_counts_for_exactly_the_epochs_that_were_not_closed(uint32 later) public {
        registry.begin(uint64(block.timestamp));
        uint256 time = block.timestamp + later;
        uint64 open = registry.openEpochAt(time);
        require(registry.closesAt(open) >= time, "counts for a closed epoch");
        require(open == 1 || registry.closesAt(open - 1) < time, "does not count for an open epoch");
        require(registry.epochAt(time) <= open, "counts for the past");
    }

    function testFuzz_pages_hold_every_member_once(uint8 members, uint256 from, uint256 count) public {
        uint256 total = members % 6;
        for (uint256 i = 0; i < total; ++i) {
            _register(OPERATOR, KEY + i, MINIMUM);
        }
        INodeRegistry.Node[] memory page = registry.nodesPage(from, count);
        uint256 rest = from >= total ? 0 : total - from;
        same(page.length, count < rest ? count : rest, "page length");
        for (uint256 i = 0; i < page.length; ++i) {
            same(page[i].node, vm.addr(KEY + from + i), "member");
        }
    }

    function testFuzz_a_text_over_255_bytes_is_refused(uint16 extra) public {
        _register(OPERATOR, KEY, MINIMUM);
        uint256 length = 256 + (extra % 1000);
        address node = vm.addr(KEY);
        vm.expectRevert(abi.encodeWithSelector(INodeRegistry.TextTooLong.selector, length, uint256(255)));
        vm.prank(OPERATOR);
        registry.update(node, "key", string(new bytes(length)), "http://a");
    }
}

/// @title Operators that register, leave and withdraw in any order.
contract RegistryOperators is RegistryFixture {
    address private constant OPERATOR = address(0xB0B);

    constructor() {
        _deploy();
        _fund(OPERATOR);
    }

    function join(uint8 which, uint96 stake) external {
        uint256 key = _key(which);
        if (registry.accountOf(vm.addr(key)) != address(0)) return;
        _register(OPERATOR, key, MINIMUM + stake % 1000 ether);
    }

    function leave(uint8 which) external {
        address node = vm.addr(_key(which));
        vm.prank(OPERATOR);
        try registry.unbond(node) {} catch {}
    }

    function collect(uint8 which, uint32 later) external {
        vm.warp(block.timestamp + later % (2 * UNBONDING));
        address node = vm.addr(_key(which));
        vm.prank(OPERATOR);
        try registry.withdraw(node) {} catch {}
    }

    /// @return held What the registry holds; owed what members staked and leavers may still withdraw.
    function books() external view returns (uint256 held, uint256 owed) {
        held = stakeToken.balanceOf(address(registry));
        INodeRegistry.Node[] memory nodes = registry.nodesPage(0, registry.nodeCount());
        for (uint256 i = 0; i < nodes.length; ++i) {
            owed += nodes[i].stake;
            require(registry.nodeOf(nodes[i].node).node == nodes[i].node, "a member is not found where it is listed");
        }
        for (uint8 i = 0; i < 8; ++i) {
            (, uint256 stake,) = registry.leaving(vm.addr(_key(i)));
            owed += stake;
        }
    }

    function _key(uint8 which) private pure returns (uint256) {
        return 0xA11CE + which % 8;
    }
}

contract NodeRegistryInvariantTest is Test {
    RegistryOperators private operators;

    function setUp() public {
        operators = new RegistryOperators();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(operators);
    }

    function invariant_the_registry_holds_exactly_what_it_owes() public view {
        (uint256 held, uint256 owed) = operators.books();
        same(held, owed, "stake held and owed");
    }
}
