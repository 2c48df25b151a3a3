// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IHomeSets} from "./interfaces/IHomeSets.sol";
import {INodeRegistry} from "./interfaces/INodeRegistry.sol";
import {BlockHeader} from "./libraries/BlockHeader.sol";
import {Rendezvous} from "./libraries/Rendezvous.sol";

/// @title The home sets: see IHomeSets.
contract HomeSets is IHomeSets {
    /// @dev What decides between two anchors; who is no anchor of the epoch weighs nothing.
    struct Score {
        address node;
        uint256 ticket;
        uint256 weight;
    }

    INodeRegistry public immutable registry;
    uint32 public immutable shardCount;
    uint32 public immutable rotation;
    uint32 public immutable homeSize;
    uint256 public immutable weightUnit;
    uint256 public immutable weightCap;

    /// @inheritdoc IHomeSets
    mapping(uint64 epoch => bytes32) public beaconOf;

    constructor(INodeRegistry registry_, Parameters memory p) {
        bool isSound = p.shardCount > 0 && p.rotation > 0 && p.homeSize > 0 && p.weightUnit > 0;
        if (!isSound || p.weightCap == 0 || p.weightCap > Rendezvous.WEIGHT_LIMIT) revert ParametersInvalid();
        registry = registry_;
        (shardCount, rotation, homeSize) = (p.shardCount, p.rotation, p.homeSize);
        (weightUnit, weightCap) = (p.weightUnit, p.weightCap);
    }

    /// @inheritdoc IHomeSets
    function record(uint64 epoch, bytes calldata header, bytes calldata parentHeader) external {
        if (epoch == 0) revert EpochUnknown(epoch);
        if (beaconOf[epoch] != 0) revert BeaconKnown(epoch);
        BlockHeader.Fields memory block_ = BlockHeader.read(header);
        bytes32 hash = keccak256(header);
        if (blockhash(block_.number) != hash) revert BlockUnknown(block_.number, hash);
        bytes32 parentHash = keccak256(parentHeader);
        if (block_.parentHash != parentHash) revert NotParent(block_.parentHash, parentHash);
        uint256 closesAt = registry.closesAt(epoch);
        uint256 parentTimestamp = BlockHeader.read(parentHeader).timestamp;
        if (parentTimestamp > closesAt || block_.timestamp <= closesAt) {
            revert NotFirstBlock(parentTimestamp, block_.timestamp, closesAt);
        }
        bytes32 beacon = Rendezvous.beaconOf(epoch, block_.randomness);
        beaconOf[epoch] = beacon;
        emit BeaconRecorded(epoch, beacon, block_.number);
    }

    /// @inheritdoc IHomeSets
    function refutes(Claim calldata claim, address outsider) external view returns (bool) {
        bytes32 salt = _saltOf(claim);
        uint256 count = claim.anchors.length;
        if (count > homeSize) return true;
        Score memory last;
        bool isClaimed = false;
        for (uint256 i = 0; i < count; ++i) {
            Score memory score = _scoreOf(claim.anchors[i], claim.epoch, salt);
            if (score.weight == 0) return true;
            if (i > 0 && !_precedes(last, score)) return true;
            if (score.node == outsider) isClaimed = true;
            last = score;
        }
        Score memory other = _scoreOf(outsider, claim.epoch, salt);
        if (isClaimed || other.weight == 0) return false;
        return count < homeSize || _precedes(other, last);
    }

    function _saltOf(Claim calldata claim) private view returns (bytes32) {
        if (claim.shard >= shardCount) revert ShardUnknown(claim.shard);
        if (claim.epoch == 0) revert EpochUnknown(claim.epoch);
        if (block.timestamp <= registry.closesAt(claim.epoch)) revert EpochOpen(claim.epoch);
        if (claim.epoch + 1 < registry.epochAt(block.timestamp)) revert EpochTooOld(claim.epoch);
        uint64 drawn = uint64(Rendezvous.lastDrawOf(claim.shard, claim.epoch, rotation));
        bytes32 beacon = beaconOf[drawn];
        if (beacon == 0) revert BeaconUnknown(drawn);
        return Rendezvous.saltOfShard(claim.shard, beacon);
    }

    function _scoreOf(address node, uint64 epoch, bytes32 salt) private view returns (Score memory) {
        (INodeRegistry.Role role, uint256 stake) = registry.memberIn(node, epoch);
        if (role != INodeRegistry.Role.Anchor) return Score(node, 0, 0);
        return Score(node, Rendezvous.ticketOf(salt, node), Rendezvous.weightOf(stake, weightUnit, weightCap));
    }

    function _precedes(Score memory a, Score memory b) private pure returns (bool) {
        return Rendezvous.precedes(a.ticket, a.weight, a.node, b.ticket, b.weight, b.node);
    }
}
