// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Reads the few fields of an RLP block header that say when a block was made and what nobody could know before.
/// @dev Nothing is believed here: who reads a header compares its keccak with a block hash.
library BlockHeader {
    struct Fields {
        bytes32 parentHash;
        uint256 number;
        uint256 timestamp;
        bytes32 randomness;
    }

    error HeaderMalformed(uint256 offset);

    uint256 private constant PARENT_HASH = 0;
    uint256 private constant NUMBER = 8;
    uint256 private constant TIMESTAMP = 11;
    uint256 private constant RANDOMNESS = 13;

    function read(bytes calldata header) internal pure returns (Fields memory fields) {
        uint256 at = _behindListPrefix(header);
        for (uint256 field = 0; field <= RANDOMNESS; ++field) {
            (uint256 start, uint256 length) = _string(header, at);
            at = start + length;
            if (field == PARENT_HASH) fields.parentHash = bytes32(_number(header, start, length));
            if (field == NUMBER) fields.number = _number(header, start, length);
            if (field == TIMESTAMP) fields.timestamp = _number(header, start, length);
            if (field == RANDOMNESS) fields.randomness = bytes32(_number(header, start, length));
        }
    }

    /// @dev A header is longer than 55 bytes, so its list always has a length of its own.
    function _behindListPrefix(bytes calldata header) private pure returns (uint256) {
        uint8 prefix = _byte(header, 0);
        if (prefix < 0xf8) revert HeaderMalformed(0);
        return 1 + (prefix - 0xf7);
    }

    function _string(bytes calldata header, uint256 at) private pure returns (uint256 start, uint256 length) {
        uint8 prefix = _byte(header, at);
        if (prefix < 0x80) (start, length) = (at, 1);
        else if (prefix < 0xb8) (start, length) = (at + 1, prefix - 0x80);
        else if (prefix < 0xbc) (start, length) = (at + prefix - 0xb6, _number(header, at + 1, prefix - 0xb7));
        else revert HeaderMalformed(at);
        if (start + length > header.length) revert HeaderMalformed(at);
    }

    function _number(bytes calldata header, uint256 start, uint256 length) private pure returns (uint256 number) {
        if (length > 32 || start + length > header.length) revert HeaderMalformed(start);
        for (uint256 i = 0; i < length; ++i) {
            number = (number << 8) | uint8(header[start + i]);
        }
    }

    function _byte(bytes calldata header, uint256 at) private pure returns (uint8) {
        if (at >= header.length) revert HeaderMalformed(at);
        return uint8(header[at]);
    }
}
