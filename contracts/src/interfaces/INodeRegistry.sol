// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Who takes part in the network: identity, keys, endpoints and stake of every node.
/// @notice Nodes read their membership from here; a key that is not here cannot connect.
interface INodeRegistry {
    /// @dev The order is on the wire: append only.
    enum Role {
        None,
        Anchor,
        Service
    }

    struct Node {
        address node;
        Role role;
        bytes32 transportKey;
        string overlay;
        string api;
        bytes32 operator;
        bytes32 platform;
        uint256 stake;
    }

    /// @param node Address of the identity key that signs for the node.
    /// @param transportKey SHA-256 of its TLS public key (SPKI).
    /// @param overlay host:port for other nodes.
    /// @param api Base URL for integrations.
    struct Registration {
        address node;
        Role role;
        bytes32 transportKey;
        string overlay;
        string api;
        bytes32 operator;
        bytes32 platform;
    }

    event NodeRegistered(address indexed node, Role role, address indexed account, uint256 stake);
    event NodeUpdated(address indexed node, bytes32 transportKey, string overlay, string api);
    event NodeLeaving(address indexed node, uint256 stake, uint256 withdrawableAt);
    event StakeWithdrawn(address indexed node, address indexed account, uint256 stake);

    error NodeKnown(address node);
    error NodeUnknown(address node);
    error NotAccount(address caller, address account);
    error StakeTooLow(uint256 stake, uint256 minimum);
    error RoleMissing();
    error TransportKeyMissing();
    error TransportKeyTaken(bytes32 transportKey, address node);
    error IdentityMismatch(address node, address signer);
    error StillBonded(uint256 withdrawableAt);
    error TextTooLong(uint256 length, uint256 limit);

    /// @notice Registers a node and takes its stake from the caller, who alone may change and withdraw it later.
    /// @param identitySignature The identity key's EIP-712 signature of Register(node, operatorAccount, transportKey): nobody
    /// registers another's key.
    function register(Registration calldata registration, uint256 stake, bytes calldata identitySignature) external;

    /// @notice Changes transport key and endpoints of a node.
    function update(address node, bytes32 transportKey, string calldata overlay, string calldata api) external;

    /// @notice Takes the node out of the membership at once; its stake stays bound for the unbonding time.
    function unbond(address node) external;

    /// @notice Returns the stake of a node that left, after the unbonding time.
    function withdraw(address node) external;

    function nodeOf(address node) external view returns (Node memory);

    function nodeCount() external view returns (uint256);

    /// @notice Members `from` to `from + count - 1`, in no particular order.
    function nodesPage(uint256 from, uint256 count) external view returns (Node[] memory);
}
