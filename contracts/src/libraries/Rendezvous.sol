// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Stake-weighted rendezvous: whom a salt puts first, bit for bit as every node computes it.
/// @dev docs/spec/directory.md. Nodes keep a table of 4 097 logarithms; here the two entries of a draw are made when asked for.
library Rendezvous {
    /// @dev A ticket is at most 2^31: its product with a weight stays below 2^53, which nodes compute exactly.
    uint256 internal constant WEIGHT_LIMIT = 2 ** 22 - 1;

    uint256 private constant ONE = 2 ** 26;
    uint256 private constant FRACTION_BITS = 26;
    uint256 private constant TABLE_SIZE = 4096;
    uint256 private constant REST_BITS = 19;
    uint256 private constant REST = 2 ** REST_BITS;
    uint256 private constant MANTISSA_ONE = 2 ** 31;
    /// @dev Length of the message in the top byte of SipHash's last block.
    uint32 private constant LAST_BLOCK = 32 << 24;

    /// @notice −log2(draw / 2^32) in Q26 of a node under a salt; smaller is better, before weighting.
    function ticketOf(bytes32 salt, address node) internal pure returns (uint256) {
        return ticketOfDraw(halfSipHash(salt, keccak256(abi.encodePacked(node))));
    }

    /// @notice True when the first of two nodes comes before the second: the smaller ticket / weight, on a tie the lower address.
    function precedes(uint256 ticket, uint256 weight, address node, uint256 otherTicket, uint256 otherWeight, address other)
        internal
        pure
        returns (bool)
    {
        uint256 left = ticket * otherWeight;
        uint256 right = otherTicket * weight;
        return left == right ? node < other : left < right;
    }

    /// @notice What a stake weighs: at least 1, at most the cap.
    function weightOf(uint256 stake, uint256 unit, uint256 cap) internal pure returns (uint256) {
        uint256 units = stake / unit;
        return units == 0 ? 1 : units > cap ? cap : units;
    }

    function shardOf(bytes32 token, bytes32 typeSalt, uint256 shardCount) internal pure returns (uint256) {
        return (uint256(keccak256(abi.encodePacked("smartlayer/shard/1", typeSalt, token))) >> 224) % shardCount;
    }

    function typeSaltOf(bytes32 tokenType, bytes32 randomness) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked("smartlayer/type/1", randomness, tokenType));
    }

    function beaconOf(uint256 epoch, bytes32 randomness) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked("smartlayer/beacon/1", randomness, epoch));
    }

    /// @param beacon That of the shard's last draw: see `lastDrawOf`.
    function saltOfShard(uint256 shard, bytes32 beacon) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked("smartlayer/salt/1", beacon, shard));
    }

    /// @notice The last epoch up to `epoch` that equals `shard` modulo `rotation`; before its turn the first.
    function lastDrawOf(uint256 shard, uint256 epoch, uint256 rotation) internal pure returns (uint256) {
        uint256 since = ((epoch % rotation) + rotation - (shard % rotation)) % rotation;
        return epoch <= since ? 1 : epoch - since;
    }

    /// @notice −log2(draw / 2^32) in Q26, with straight lines between 4 096 steps of the mantissa.
    function ticketOfDraw(uint32 draw) internal pure returns (uint256) {
        uint256 normal = draw == 0 ? 1 : draw;
        uint256 zeros = 0;
        while (normal < MANTISSA_ONE) {
            normal <<= 1;
            ++zeros;
        }
        uint256 step = (normal - MANTISSA_ONE) >> REST_BITS;
        uint256 low = log2OfStep(step);
        uint256 rise = log2OfStep(step + 1) - low;
        return (zeros + 1) * ONE - low - (rise * (normal % REST)) / REST;
    }

    /// @notice log2(1 + step / 4096) in Q26, by squaring a mantissa in Q31 bit by bit.
    function log2OfStep(uint256 step) internal pure returns (uint256 fraction) {
        if (step == TABLE_SIZE) return ONE;
        unchecked {
            uint256 mantissa = MANTISSA_ONE + step * REST;
            for (uint256 bit = 0; bit < FRACTION_BITS; ++bit) {
                mantissa = (mantissa * mantissa) >> 31;
                uint256 carry = mantissa >> 32;
                mantissa >>= carry;
                fraction = (fraction << 1) | carry;
            }
        }
    }

    /// @notice HalfSipHash-2-4 of 32 bytes, keyed by the first eight bytes of the salt.
    function halfSipHash(bytes32 salt, bytes32 message) internal pure returns (uint32) {
        unchecked {
            uint256 key = _swapped(uint256(salt));
            uint256 words = _swapped(uint256(message));
            uint32 a = uint32(key >> 224);
            uint32 b = uint32(key >> 192);
            uint32 c = 0x6c796765 ^ a;
            uint32 d = 0x74656462 ^ b;
            // Two rounds for each of eight words and for the length, four to finish.
            for (uint256 round = 0; round < 22; ++round) {
                uint32 word = round < 16 ? uint32(words >> (224 - 32 * (round >> 1))) : round < 18 ? LAST_BLOCK : 0;
                if (round & 1 == 0) d ^= word;
                a += b;
                b = ((b << 5) | (b >> 27)) ^ a;
                a = (a << 16) | (a >> 16);
                c += d;
                d = ((d << 8) | (d >> 24)) ^ c;
                a += d;
                d = ((d << 7) | (d >> 25)) ^ a;
                c += b;
                b = ((b << 13) | (b >> 19)) ^ c;
                c = (c << 16) | (c >> 16);
                if (round & 1 == 1) a ^= word;
                if (round == 17) c ^= 0xff;
            }
            return b ^ d;
        }
    }

    /// @dev Turns the bytes of each of the eight 32-bit words around: SipHash reads little-endian.
    function _swapped(uint256 x) private pure returns (uint256) {
        uint256 low = 0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff;
        x = ((x & low) << 8) | ((x >> 8) & low);
        low = 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff;
        return ((x & low) << 16) | ((x >> 16) & low);
    }
}
