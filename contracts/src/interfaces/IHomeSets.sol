// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Which anchors are the home of a shard: keeps the beacons, and tells a wrong claim from a right one.
/// @notice Homes follow from registry and beacons alone, so nobody has to write them on chain; who claims a wrong one is refuted.
interface IHomeSets {
    /// @param shardCount How many shards the network has.
    /// @param rotation R: the home of one shard in R is drawn anew in each epoch.
    /// @param homeSize Anchors in a home.
    /// @param weightUnit Stake that makes one unit of weight.
    /// @param weightCap No anchor weighs more.
    struct Parameters {
        uint32 shardCount;
        uint32 rotation;
        uint32 homeSize;
        uint256 weightUnit;
        uint256 weightCap;
    }

    /// @notice "In this epoch these anchors are the home of this shard, in this order."
    struct Claim {
        uint64 epoch;
        uint32 shard;
        address[] anchors;
    }

    event BeaconRecorded(uint64 indexed epoch, bytes32 beacon, uint256 blockNumber);

    error ParametersInvalid();
    error EpochUnknown(uint64 epoch);
    error BeaconKnown(uint64 epoch);
    error BeaconUnknown(uint64 epoch);
    error BlockUnknown(uint256 number, bytes32 headerHash);
    error NotParent(bytes32 parentHash, bytes32 headerHash);
    error NotFirstBlock(uint256 parentTimestamp, uint256 timestamp, uint256 closesAt);
    error ShardUnknown(uint32 shard);
    error EpochOpen(uint64 epoch);
    error EpochTooOld(uint64 epoch);

    /// @notice Stores the beacon of an epoch for ever. Anybody may: which block gives it, the chain's history alone decides.
    /// @param header RLP header of the first block after registration for the epoch closed, among the last 256 blocks.
    /// @param parentHeader RLP header of the block before it, which was made in time.
    function record(uint64 epoch, bytes calldata header, bytes calldata parentHeader) external;

    /// @notice The beacon of an epoch; zero until it is recorded.
    function beaconOf(uint64 epoch) external view returns (bytes32);

    /// @notice True for a wrong claim and an outsider that shows it: an eligible anchor that is not claimed although it comes before
    /// the last one claimed, or although there is room. Without an outsider: too many anchors, one that is not eligible, or a wrong
    /// order. A right claim is refuted by nobody. Claims are judged while the stakes of their epoch are bound.
    function refutes(Claim calldata claim, address outsider) external view returns (bool);
}
