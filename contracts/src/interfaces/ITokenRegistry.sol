// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Which script runs the tokens of a contract.
interface ITokenRegistry {
    /// @param scriptHash keccak-256 of the TokenScript file.
    /// @param uri Where the file is found; the same as the contract's ERC-5169 scriptURI.
    struct TokenRegistration {
        address owner;
        bytes32 scriptHash;
        string uri;
        uint8 serviceClass;
        uint128 valueAtRisk;
        uint64 version;
        uint64 registeredAt;
    }

    event TokenRegistered(address indexed token, address indexed owner, uint8 serviceClass, uint128 valueAtRisk);
    event ScriptPublished(address indexed token, bytes32 indexed scriptHash, string uri, uint64 version);

    error NotOwner(address caller, address owner);
    error NotOwnable(address token);
    error ScriptMissing();
    error UriTooLong(uint256 length, uint256 limit);

    /// @notice Registers a token contract, or publishes its next script; only the contract's `owner()` may.
    function publish(address token, bytes32 scriptHash, string calldata uri, uint8 serviceClass, uint128 valueAtRisk)
        external;

    /// @notice The registration of a token contract; all zero when there is none. `owner` is read from the contract now.
    function registrationOf(address token) external view returns (TokenRegistration memory);
}
