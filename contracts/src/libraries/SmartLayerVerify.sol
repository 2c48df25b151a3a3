// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Verifies Smart Layer attestations on chain: EAS off-chain version 2, alone or by inclusion in a batch.
/// @dev docs/spec/attestation.md. The leaf of a batch is recomputed from the message, never taken as a hash.
library SmartLayerVerify {
    struct Attest {
        uint16 version;
        bytes32 schema;
        address recipient;
        uint64 time;
        uint64 expirationTime;
        bool revocable;
        bytes32 refUID;
        bytes data;
        bytes32 salt;
    }

    error VersionUnknown(uint16 version);
    error NotABatch(bytes32 schema, uint256 dataLength);
    error SignatureLength(uint256 length);
    error SignatureNotCanonical();
    error NotIncluded(bytes32 reached, bytes32 root);

    bytes32 internal constant ATTEST_TYPEHASH = keccak256(
        "Attest(uint16 version,bytes32 schema,address recipient,uint64 time,uint64 expirationTime,bool revocable,bytes32 refUID,bytes data,bytes32 salt)"
    );
    /// @dev UID of the schema "bytes32 root,uint64 firstSequence,uint64 count,bytes32 evidence", no resolver, revocable.
    bytes32 internal constant BATCH_SCHEMA = keccak256(
        abi.encodePacked("bytes32 root,uint64 firstSequence,uint64 count,bytes32 evidence", address(0), true)
    );
    uint256 private constant BATCH_DATA_LENGTH = 128;
    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    uint256 private constant HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;

    function domainSeparator(string memory version, uint256 chainId, address eas) internal pure returns (bytes32) {
        return
            keccak256(
                abi.encode(DOMAIN_TYPEHASH, keccak256("EAS Attestation"), keccak256(bytes(version)), chainId, eas)
            );
    }

    function digestOf(Attest memory a, bytes32 separator) internal pure returns (bytes32) {
        if (a.version != 2) revert VersionUnknown(a.version);
        bytes32 structHash = keccak256(
            abi.encode(
                ATTEST_TYPEHASH,
                a.version,
                a.schema,
                a.recipient,
                a.time,
                a.expirationTime,
                a.revocable,
                a.refUID,
                keccak256(a.data),
                a.salt
            )
        );
        return keccak256(abi.encodePacked("\x19\x01", separator, structHash));
    }

    /// @notice The key that signed the attestation. Whether that key may say this, and until when, is the caller's to check.
    function signerOf(Attest memory a, bytes32 separator, bytes memory signature) internal pure returns (address) {
        return recover(digestOf(a, separator), signature);
    }

    /// @notice The key that signed the batch root under which `leaf` is included.
    /// @dev Only an SLBatch is a root: the first word of any other attestation may have been chosen by somebody else.
    function batchSignerOf(
        Attest memory leaf,
        bytes32[] memory proof,
        Attest memory root,
        bytes32 separator,
        bytes memory signature
    ) internal pure returns (address) {
        if (root.schema != BATCH_SCHEMA || root.data.length != BATCH_DATA_LENGTH) {
            revert NotABatch(root.schema, root.data.length);
        }
        bytes32 reached = digestOf(leaf, separator);
        for (uint256 i = 0; i < proof.length; ++i) {
            reached = _pair(reached, proof[i]);
        }
        bytes32 signed = bytes32(root.data);
        if (reached != signed) revert NotIncluded(reached, signed);
        return recover(digestOf(root, separator), signature);
    }

    function recover(bytes32 digest, bytes memory signature) internal pure returns (address signer) {
        if (signature.length != 65) revert SignatureLength(signature.length);
        bytes32 r;
        bytes32 s;
        uint8 v;
        assembly ("memory-safe") {
            r := mload(add(signature, 32))
            s := mload(add(signature, 64))
            v := byte(0, mload(add(signature, 96)))
        }
        if (uint256(s) > HALF_ORDER || (v != 27 && v != 28)) revert SignatureNotCanonical();
        signer = ecrecover(digest, v, r, s);
        if (signer == address(0)) revert SignatureNotCanonical();
    }

    function _pair(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return a <= b ? keccak256(abi.encodePacked(a, b)) : keccak256(abi.encodePacked(b, a));
    }
}
