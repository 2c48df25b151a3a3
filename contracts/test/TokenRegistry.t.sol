// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC721} from "@openzeppelin/contracts/token/ERC721/IERC721.sol";
import {StakeToken} from "../src/StakeToken.sol";
import {TokenRegistry} from "../src/TokenRegistry.sol";
import {FlightTicket, IERC5169} from "../src/demo/FlightTicket.sol";
import {ITokenRegistry} from "../src/interfaces/ITokenRegistry.sol";
import {Test} from "./Vm.sol";

contract TokenRegistryTest is Test {
    address private constant AIRLINE = address(0xA1);
    address private constant STRANGER = address(0xBAD);
    string private constant URI = "ipfs://script";

    TokenRegistry private registry;
    FlightTicket private ticket;

    function setUp() public {
        vm.warp(1_790_000_000);
        registry = new TokenRegistry();
        ticket = new FlightTicket(AIRLINE);
    }

    function test_the_owner_publishes_and_each_script_has_the_next_version() public {
        vm.prank(AIRLINE);
        registry.publish(address(ticket), "first", URI, 1, 5 ether);
        vm.warp(1_790_000_100);
        vm.prank(AIRLINE);
        registry.publish(address(ticket), "second", "ipfs://second", 1, 7 ether);
        ITokenRegistry.TokenRegistration memory known = registry.registrationOf(address(ticket));
        same(known.owner, AIRLINE, "owner");
        same(known.scriptHash, "second", "script");
        same(known.uri, "ipfs://second", "uri");
        same(known.version, 2, "version");
        same(known.valueAtRisk, 7 ether, "value at risk");
        same(known.registeredAt, 1_790_000_000, "registered at");
    }

    function testFuzz_nobody_but_the_owner_publishes(address caller) public {
        vm.assume(caller != AIRLINE);
        vm.expectRevert(abi.encodeWithSelector(ITokenRegistry.NotOwner.selector, caller, AIRLINE));
        vm.prank(caller);
        registry.publish(address(ticket), "script", URI, 0, 0);
    }

    function test_a_new_owner_takes_the_registration_over() public {
        vm.prank(AIRLINE);
        registry.publish(address(ticket), "script", URI, 0, 0);
        vm.prank(AIRLINE);
        ticket.transferOwnership(STRANGER);
        same(registry.registrationOf(address(ticket)).owner, STRANGER, "owner");
        vm.expectRevert(abi.encodeWithSelector(ITokenRegistry.NotOwner.selector, AIRLINE, STRANGER));
        vm.prank(AIRLINE);
        registry.publish(address(ticket), "script", URI, 0, 0);
    }

    function test_an_account_and_a_contract_without_an_owner_are_refused() public {
        vm.expectRevert(abi.encodeWithSelector(ITokenRegistry.NotOwnable.selector, STRANGER));
        registry.publish(STRANGER, "script", URI, 0, 0);
        address ownerless = address(new StakeToken(address(this), 1));
        vm.expectRevert(abi.encodeWithSelector(ITokenRegistry.NotOwnable.selector, ownerless));
        registry.publish(ownerless, "script", URI, 0, 0);
    }

    function test_a_registration_needs_a_script_and_a_short_uri() public {
        vm.expectRevert(abi.encodeWithSelector(ITokenRegistry.ScriptMissing.selector));
        vm.prank(AIRLINE);
        registry.publish(address(ticket), 0, URI, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(ITokenRegistry.UriTooLong.selector, uint256(256), uint256(255)));
        vm.prank(AIRLINE);
        registry.publish(address(ticket), "script", string(new bytes(256)), 0, 0);
    }

    function test_an_unknown_contract_has_an_empty_registration() public view {
        same(registry.registrationOf(address(ticket)).registeredAt, 0, "registered at");
        same(registry.registrationOf(STRANGER).owner, address(0), "owner");
    }

    function test_a_ticket_names_its_script_and_says_so() public {
        string[] memory uris = new string[](1);
        uris[0] = URI;
        vm.prank(AIRLINE);
        ticket.setScriptURI(uris);
        same(ticket.scriptURI()[0], URI, "script uri");
        require(ticket.supportsInterface(type(IERC5169).interfaceId), "ERC-5169");
        require(ticket.supportsInterface(type(IERC721).interfaceId), "ERC-721");
        same(bytes32(type(IERC5169).interfaceId), bytes32(bytes4(0xa86517a1)), "interface id of ERC-5169");
    }

    function testFuzz_only_the_airline_mints(address caller, uint256 tokenId) public {
        vm.prank(AIRLINE);
        ticket.mint(STRANGER, tokenId);
        same(ticket.ownerOf(tokenId), STRANGER, "holder");
        vm.assume(caller != AIRLINE);
        vm.prank(caller);
        (bool done,) = address(ticket).call(abi.encodeCall(ticket.mint, (caller, tokenId ^ 1)));
        require(!done, "a stranger minted");
    }
}

contract StakeTokenTest is Test {
    function test_votes_are_counted_by_timestamp() public {
        StakeToken token = new StakeToken(address(this), 100);
        vm.warp(1_790_000_000);
        token.delegate(address(this));
        vm.warp(1_790_000_010);
        same(token.CLOCK_MODE(), "mode=timestamp", "clock mode");
        same(token.clock(), 1_790_000_010, "clock");
        same(token.getPastVotes(address(this), 1_790_000_000), 100, "votes");
    }
}
