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

    /// @notice In which epochs a node takes part, and with what. It is judged by this as long as its stake is bound.
    /// @param since First epoch in which it is a member: registration for an epoch closes before its beacon exists.
    /// @param until First epoch in which it no longer is; zero while it stays.
    struct Standing {
        Role role;
        uint64 since;
        uint64 until;
        uint256 stake;
    }

    /// @notice Epochs in which a jailed node is no member: `since` up to, but not including, `until`.
    struct Sentence {
        uint64 since;
        uint64 until;
    }

    event NodeRegistered(address indexed node, address indexed account, Node registered, uint64 since);
    event NodeUpdated(address indexed node, bytes32 transportKey, string overlay, string api);
    event NodeLeaving(address indexed node, uint256 stake, uint256 withdrawableAt, uint64 until);
    event NodeJailed(address indexed node, uint64 since, uint64 until);
    event NodeReleased(address indexed node, uint64 until);
    event StakeWithdrawn(address indexed node, address indexed account, uint256 stake);
    event EpochsBegin(uint64 genesis, uint64 epochLength, uint64 closing);
    event CourtAppointed(address court);

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
    error ScheduleInvalid(uint64 epochLength, uint64 closing);
    error NotDeployer(address caller, address deployer);
    error NotCourt(address caller, address court);
    error GenesisKnown(uint64 genesis);
    error GenesisInPast(uint64 genesis);
    error EpochsNotBegun();
    error CourtKnown(address court);
    error SentenceTooShort(uint64 until, uint64 open);

    /// @notice Registers a node and takes its stake from the caller, who alone may change and withdraw it later.
    /// @param identitySignature The identity key's EIP-712 signature of Register(node, operatorAccount, transportKey): nobody
    /// registers another's key.
    function register(Registration calldata registration, uint256 stake, bytes calldata identitySignature) external;

    /// @notice Changes transport key and endpoints of a node.
    function update(address node, bytes32 transportKey, string calldata overlay, string calldata api) external;

    /// @notice Takes the node off the list; it stays a member of the epochs whose registration has closed. Its stake stays bound for
    /// the unbonding time, and at least for two whole epochs after this one.
    function unbond(address node) external;

    /// @notice Returns the stake of a node that left, after the unbonding time.
    function withdraw(address node) external;

    function nodeOf(address node) external view returns (Node memory);

    function nodeCount() external view returns (uint256);

    /// @notice Members `from` to `from + count - 1`, in no particular order.
    function nodesPage(uint256 from, uint256 count) external view returns (Node[] memory);

    /// @notice Sets when epoch 1 starts, once and for all; only the deployer may. Who registered by then is a member of epoch 1.
    function begin(uint64 genesis) external;

    /// @notice Names who may jail nodes, once and for all; only the deployer may.
    function appointCourt(address court) external;

    /// @notice Takes a node out of the epochs from the first that is still open for changes up to, but not including, `until`.
    function jail(address node, uint64 until) external;

    /// @notice Ends a sentence with the first epoch that is still open for changes.
    function release(address node) external;

    /// @notice The epoch at a time; zero before the first.
    function epochAt(uint256 time) external view returns (uint64);

    /// @notice The last second in which a change still counts for the epoch.
    function closesAt(uint64 epoch) external view returns (uint256);

    /// @notice The first epoch for which a change at a time counts.
    function openEpochAt(uint256 time) external view returns (uint64);

    /// @notice The standing of a node, of one that left too until its stake is withdrawn; all zero otherwise.
    function standingOf(address node) external view returns (Standing memory);

    /// @notice Role and stake of a node in an epoch; no role when it is no member of it. Reliable for the present epoch, the one
    /// before, and any later one that is closed for changes.
    function memberIn(address node, uint64 epoch) external view returns (Role role, uint256 stake);
}
