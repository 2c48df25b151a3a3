// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ITokenRegistry} from "./interfaces/ITokenRegistry.sol";

/// @title The token registry: see ITokenRegistry.
contract TokenRegistry is ITokenRegistry {
    uint256 private constant URI_LIMIT = 255;

    mapping(address token => TokenRegistration) private _registrations;

    /// @inheritdoc ITokenRegistry
    function publish(address token, bytes32 scriptHash, string calldata uri, uint8 serviceClass, uint128 valueAtRisk)
        external
    {
        address owner = _ownerOf(token);
        if (owner != msg.sender) revert NotOwner(msg.sender, owner);
        if (scriptHash == 0) revert ScriptMissing();
        if (bytes(uri).length > URI_LIMIT) revert UriTooLong(bytes(uri).length, URI_LIMIT);
        TokenRegistration storage known = _registrations[token];
        if (known.registeredAt == 0) {
            known.registeredAt = uint64(block.timestamp);
            emit TokenRegistered(token, owner, serviceClass, valueAtRisk);
        }
        known.owner = owner;
        known.scriptHash = scriptHash;
        known.uri = uri;
        known.serviceClass = serviceClass;
        known.valueAtRisk = valueAtRisk;
        known.version += 1;
        emit ScriptPublished(token, scriptHash, uri, known.version);
    }

    /// @inheritdoc ITokenRegistry
    function registrationOf(address token) external view returns (TokenRegistration memory registration) {
        registration = _registrations[token];
        if (registration.registeredAt != 0) registration.owner = _ownerOf(token);
    }

    function _ownerOf(address token) private view returns (address) {
        if (token.code.length == 0) revert NotOwnable(token);
        try Ownable(token).owner() returns (address owner) {
            return owner;
        } catch {
            revert NotOwnable(token);
        }
    }
}
