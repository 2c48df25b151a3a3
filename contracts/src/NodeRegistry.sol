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

    Node[] private _nodes;
    /// @dev Place in `_nodes` plus one; zero means not a member.
    mapping(address node => uint256) private _place;
    mapping(address node => address) public accountOf;
    mapping(bytes32 transportKey => address) private _nodeByKey;
    mapping(address node => Leaving) public leaving;

    constructor(IERC20 stakeToken_, uint256 minimumStake_, uint256 unbondingTime_) EIP712("SmartLayer", "1") {
        stakeToken = stakeToken_;
        minimumStake = minimumStake_;
        unbondingTime = unbondingTime_;
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
        _nodes.push(Node(r.node, r.role, r.transportKey, r.overlay, r.api, r.operator, r.platform, stake));
        _place[r.node] = _nodes.length;
        accountOf[r.node] = msg.sender;
        emit NodeRegistered(r.node, r.role, msg.sender, stake);
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
        uint256 withdrawableAt = block.timestamp + unbondingTime;
        uint256 stake = known.stake;
        leaving[node] = Leaving(msg.sender, stake, withdrawableAt);
        delete _nodeByKey[known.transportKey];
        uint256 place = _place[node];
        Node storage last = _nodes[_nodes.length - 1];
        _place[last.node] = place;
        _nodes[place - 1] = last;
        _nodes.pop();
        delete _place[node];
        emit NodeLeaving(node, stake, withdrawableAt);
    }

    /// @inheritdoc INodeRegistry
    function withdraw(address node) external {
        Leaving memory left = leaving[node];
        if (left.account == address(0)) revert NodeUnknown(node);
        if (left.account != msg.sender) revert NotAccount(msg.sender, left.account);
        if (block.timestamp < left.withdrawableAt) revert StillBonded(left.withdrawableAt);
        delete leaving[node];
        delete accountOf[node];
        emit StakeWithdrawn(node, left.account, left.stake);
        stakeToken.safeTransfer(left.account, left.stake);
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
