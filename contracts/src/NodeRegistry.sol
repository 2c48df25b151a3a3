// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {INodeRegistry} from "./interfaces/INodeRegistry.sol";

/// @title The node registry: see INodeRegistry.
contract NodeRegistry is INodeRegistry, EIP712 {
    using SafeERC20 for IERC20;

    bytes32 private constant REGISTER_TYPEHASH =
        keccak256("Register(address node,address operatorAccount,bytes32 transportKey)");
    uint256 private constant TEXT_LIMIT = 255;

    struct Leaving {
        address account;
        uint256 stake;
        uint256 withdrawableAt;
    }

    IERC20 public immutable stakeToken;
    uint256 public immutable minimumStake;
    uint256 public immutable unbondingTime;
    uint64 public immutable epochLength;
    uint64 public immutable closing;
    address public immutable deployer;

    /// @notice When epoch 1 starts; zero until it is set.
    uint64 public genesis;
    address public court;

    Node[] private _nodes;
    /// @dev Place in `_nodes` plus one; zero means not a member.
    mapping(address node => uint256) private _place;
    mapping(address node => address) public accountOf;
    mapping(bytes32 transportKey => address) private _nodeByKey;
    mapping(address node => Leaving) public leaving;
    mapping(address node => Standing) private _standing;
    /// @dev The last sentence and the one before: earlier ones ended before the epochs that are still judged.
    mapping(address node => Sentence[2]) private _sentences;

    constructor(IERC20 stakeToken_, uint256 minimumStake_, uint256 unbondingTime_, uint64 epochLength_, uint64 closing_)
        EIP712("SmartLayer", "1")
    {
        if (epochLength_ == 0 || closing_ >= epochLength_) revert ScheduleInvalid(epochLength_, closing_);
        stakeToken = stakeToken_;
        minimumStake = minimumStake_;
        unbondingTime = unbondingTime_;
        epochLength = epochLength_;
        closing = closing_;
        deployer = msg.sender;
    }

    /// @inheritdoc INodeRegistry
    function begin(uint64 genesis_) external {
        if (msg.sender != deployer) revert NotDeployer(msg.sender, deployer);
        if (genesis != 0) revert GenesisKnown(genesis);
        if (genesis_ < block.timestamp) revert GenesisInPast(genesis_);
        genesis = genesis_;
        emit EpochsBegin(genesis_, epochLength, closing);
    }

    /// @inheritdoc INodeRegistry
    function appointCourt(address court_) external {
        if (msg.sender != deployer) revert NotDeployer(msg.sender, deployer);
        if (court != address(0)) revert CourtKnown(court);
        court = court_;
        emit CourtAppointed(court_);
    }

    /// @inheritdoc INodeRegistry
    function register(Registration calldata r, uint256 stake, bytes calldata identitySignature) external {
        if (_place[r.node] != 0 || leaving[r.node].account != address(0)) revert NodeKnown(r.node);
        if (r.role == Role.None) revert RoleMissing();
        if (stake < minimumStake) revert StakeTooLow(stake, minimumStake);
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(REGISTER_TYPEHASH, r.node, msg.sender, r.transportKey)));
        address signer = ECDSA.recover(digest, identitySignature);
        if (signer != r.node) revert IdentityMismatch(r.node, signer);
        _claimKey(r.transportKey, r.node);
        _checkText(r.overlay);
        _checkText(r.api);
        Node memory node = Node(r.node, r.role, r.transportKey, r.overlay, r.api, r.operator, r.platform, stake);
        uint64 since = openEpochAt(block.timestamp);
        _nodes.push(node);
        _place[r.node] = _nodes.length;
        accountOf[r.node] = msg.sender;
        _standing[r.node] = Standing(r.role, since, 0, stake);
        emit NodeRegistered(r.node, msg.sender, node, since);
        stakeToken.safeTransferFrom(msg.sender, address(this), stake);
    }

    /// @inheritdoc INodeRegistry
    function update(address node, bytes32 transportKey, string calldata overlay, string calldata api) external {
        Node storage known = _own(node);
        _checkText(overlay);
        _checkText(api);
        if (transportKey != known.transportKey) {
            delete _nodeByKey[known.transportKey];
            _claimKey(transportKey, node);
        }
        known.transportKey = transportKey;
        known.overlay = overlay;
        known.api = api;
        emit NodeUpdated(node, transportKey, overlay, api);
    }

    /// @inheritdoc INodeRegistry
    function unbond(address node) external {
        Node storage known = _own(node);
        uint256 withdrawableAt = _unbondedAt();
        uint256 stake = known.stake;
        uint64 until = openEpochAt(block.timestamp);
        _standing[node].until = until;
        leaving[node] = Leaving(msg.sender, stake, withdrawableAt);
        delete _nodeByKey[known.transportKey];
        uint256 place = _place[node];
        Node storage last = _nodes[_nodes.length - 1];
        _place[last.node] = place;
        _nodes[place - 1] = last;
        _nodes.pop();
        delete _place[node];
        emit NodeLeaving(node, stake, withdrawableAt, until);
    }

    /// @inheritdoc INodeRegistry
    function withdraw(address node) external {
        Leaving memory left = leaving[node];
        if (left.account == address(0)) revert NodeUnknown(node);
        if (left.account != msg.sender) revert NotAccount(msg.sender, left.account);
        if (block.timestamp < left.withdrawableAt) revert StillBonded(left.withdrawableAt);
        delete leaving[node];
        delete accountOf[node];
        delete _standing[node];
        delete _sentences[node];
        emit StakeWithdrawn(node, left.account, left.stake);
        stakeToken.safeTransfer(left.account, left.stake);
    }

    /// @inheritdoc INodeRegistry
    function jail(address node, uint64 until) external {
        _onlyCourt();
        if (_standing[node].role == Role.None) revert NodeUnknown(node);
        uint64 open = openEpochAt(block.timestamp);
        if (until <= open) revert SentenceTooShort(until, open);
        Sentence storage last = _sentences[node][0];
        if (last.until < open) {
            _sentences[node][1] = last;
            (last.since, last.until) = (open, until);
        } else if (until > last.until) {
            last.until = until;
        }
        emit NodeJailed(node, last.since, last.until);
    }

    /// @inheritdoc INodeRegistry
    function release(address node) external {
        _onlyCourt();
        Sentence storage last = _sentences[node][0];
        uint64 open = openEpochAt(block.timestamp);
        if (last.until > open) last.until = open;
        emit NodeReleased(node, last.until);
    }

    /// @inheritdoc INodeRegistry
    function standingOf(address node) external view returns (Standing memory) {
        return _standing[node];
    }

    /// @inheritdoc INodeRegistry
    function memberIn(address node, uint64 epoch) external view returns (Role role, uint256 stake) {
        Standing storage standing = _standing[node];
        if (epoch < standing.since || (standing.until != 0 && epoch >= standing.until)) return (Role.None, 0);
        if (_covers(_sentences[node][0], epoch) || _covers(_sentences[node][1], epoch)) return (Role.None, 0);
        return (standing.role, standing.stake);
    }

    /// @inheritdoc INodeRegistry
    function epochAt(uint256 time) public view returns (uint64) {
        if (genesis == 0 || time < genesis) return 0;
        return uint64((time - genesis) / epochLength + 1);
    }

    /// @inheritdoc INodeRegistry
    function closesAt(uint64 epoch) external view returns (uint256) {
        if (genesis == 0) revert EpochsNotBegun();
        return epoch <= 1 ? genesis : _startOf(epoch) - closing;
    }

    /// @inheritdoc INodeRegistry
    function openEpochAt(uint256 time) public view returns (uint64) {
        if (genesis == 0 || time <= genesis) return 1;
        return uint64((time - genesis + closing + epochLength - 1) / epochLength + 1);
    }

    /// @inheritdoc INodeRegistry
    function nodeOf(address node) external view returns (Node memory) {
        uint256 place = _place[node];
        if (place == 0) revert NodeUnknown(node);
        return _nodes[place - 1];
    }

    /// @inheritdoc INodeRegistry
    function nodeCount() external view returns (uint256) {
        return _nodes.length;
    }

    /// @inheritdoc INodeRegistry
    function nodesPage(uint256 from, uint256 count) external view returns (Node[] memory page) {
        uint256 total = _nodes.length;
        uint256 end = from >= total ? from : (count > total - from ? total : from + count);
        page = new Node[](end - from);
        for (uint256 i = from; i < end; ++i) {
            page[i - from] = _nodes[i];
        }
    }

    /// @dev A leaver is a member of the next epoch at most, and what it did then is judged during the epoch after.
    function _unbondedAt() private view returns (uint256 time) {
        time = block.timestamp + unbondingTime;
        if (genesis == 0) return time;
        uint256 judged = _startOf(epochAt(block.timestamp) + 3);
        if (judged > time) return judged;
    }

    function _startOf(uint64 epoch) private view returns (uint256) {
        return genesis + (uint256(epoch) - 1) * epochLength;
    }

    function _onlyCourt() private view {
        if (court == address(0) || msg.sender != court) revert NotCourt(msg.sender, court);
    }

    function _covers(Sentence storage sentence, uint64 epoch) private view returns (bool) {
        return sentence.since <= epoch && epoch < sentence.until;
    }

    function _own(address node) private view returns (Node storage) {
        uint256 place = _place[node];
        if (place == 0) revert NodeUnknown(node);
        if (accountOf[node] != msg.sender) revert NotAccount(msg.sender, accountOf[node]);
        return _nodes[place - 1];
    }

    function _claimKey(bytes32 transportKey, address node) private {
        if (transportKey == 0) revert TransportKeyMissing();
        address holder = _nodeByKey[transportKey];
        if (holder != address(0)) revert TransportKeyTaken(transportKey, holder);
        _nodeByKey[transportKey] = node;
    }

    function _checkText(string calldata text) private pure {
        if (bytes(text).length > TEXT_LIMIT) revert TextTooLong(bytes(text).length, TEXT_LIMIT);
    }
}
