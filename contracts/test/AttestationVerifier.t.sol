// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {AttestationVerifier} from "../src/AttestationVerifier.sol";
import {SmartLayerVerify} from "../src/libraries/SmartLayerVerify.sol";
import {Test} from "./Vm.sol";

/// @title The chain and the TypeScript rules agree about attestations: both check vectors/attestation.json.
contract AttestationVerifierTest is Test {
    uint256 private constant ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    string private json;
    AttestationVerifier private verifier;

    function setUp() public {
        json = vm.readFile("../vectors/attestation.json");
        verifier = new AttestationVerifier(
            vm.parseJsonString(json, ".domain.version"),
            vm.parseJsonUint(json, ".domain.chainId"),
            vm.parseJsonAddress(json, ".domain.eas")
        );
    }

    function test_every_single_attestation_of_the_vectors_has_its_digest_and_signer() public view {
        uint256 count = 0;
        for (; vm.keyExistsJson(json, _at(".attestations", count)); ++count) {
            string memory path = _at(".attestations", count);
            SmartLayerVerify.Attest memory message = _message(path);
            same(verifier.digestOf(message), _bytes32(path, ".digest"), path);
            same(verifier.signerOf(message, _bytes(path, ".signature")), _address(path, ".signer"), path);
        }
        require(count > 0, "no attestations in the vectors");
    }

    function test_every_leaf_of_every_batch_of_the_vectors_is_included_under_its_signed_root() public view {
        uint256 leaves = 0;
        for (uint256 i = 0; vm.keyExistsJson(json, _at(".batches", i)); ++i) {
            leaves += _checkBatch(_at(".batches", i));
        }
        require(leaves > 2, "no leaves in the vectors");
    }

    function test_a_proof_of_another_leaf_is_refused() public {
        SmartLayerVerify.Attest memory leaf = _message(".batches[0].leaves[0]");
        bytes32[] memory proof = _proof(".batches[0].leaves[1]");
        SmartLayerVerify.Attest memory root = _message(".batches[0].root");
        bytes32 leafDigest = verifier.digestOf(leaf);
        bytes32 reached = keccak256(abi.encodePacked(leafDigest, proof[0])); // the proof of leaf 1 is leaf 0 itself
        vm.expectRevert(abi.encodeWithSelector(SmartLayerVerify.NotIncluded.selector, reached, bytes32(root.data)));
        verifier.batchSignerOf(leaf, proof, root, _bytes(".batches[0].root", ".signature"));
    }

    function test_an_attestation_of_another_schema_is_no_batch_root() public {
        SmartLayerVerify.Attest memory leaf = _message(".batches[0].leaves[0]");
        SmartLayerVerify.Attest memory root = _message(".batches[0].root");
        root.schema = leaf.schema;
        vm.expectRevert(abi.encodeWithSelector(SmartLayerVerify.NotABatch.selector, leaf.schema, uint256(128)));
        verifier.batchSignerOf(leaf, _proof(".batches[0].leaves[0]"), root, _bytes(".batches[0].root", ".signature"));
    }

    function test_a_batch_root_with_bytes_behind_its_four_words_is_refused() public {
        SmartLayerVerify.Attest memory root = _message(".batches[0].root");
        root.data = abi.encodePacked(root.data, bytes32(0));
        vm.expectRevert(abi.encodeWithSelector(SmartLayerVerify.NotABatch.selector, root.schema, uint256(160)));
        verifier.batchSignerOf(
            _message(".batches[0].leaves[0]"), new bytes32[](0), root, _bytes(".batches[0].root", ".signature")
        );
    }

    function test_another_version_is_refused() public {
        SmartLayerVerify.Attest memory message = _message(".attestations[0]");
        message.version = 1;
        vm.expectRevert(abi.encodeWithSelector(SmartLayerVerify.VersionUnknown.selector, uint16(1)));
        verifier.signerOf(message, _bytes(".attestations[0]", ".signature"));
    }

    function testFuzz_who_signs_is_recovered_and_its_high_s_twin_is_refused(
        uint256 key,
        bytes calldata data,
        bytes32 salt
    ) public {
        key = 1 + key % (ORDER - 1);
        SmartLayerVerify.Attest memory message = _message(".attestations[0]");
        message.data = data;
        message.salt = salt;
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, verifier.digestOf(message));
        same(verifier.signerOf(message, abi.encodePacked(r, s, v)), vm.addr(key), "signer");
        bytes memory twin = abi.encodePacked(r, bytes32(ORDER - uint256(s)), v == 27 ? uint8(28) : uint8(27));
        vm.expectRevert(abi.encodeWithSelector(SmartLayerVerify.SignatureNotCanonical.selector));
        verifier.signerOf(message, twin);
    }

    function testFuzz_a_signature_of_another_length_is_refused(bytes calldata signature) public {
        vm.assume(signature.length != 65);
        SmartLayerVerify.Attest memory message = _message(".attestations[0]");
        vm.expectRevert(abi.encodeWithSelector(SmartLayerVerify.SignatureLength.selector, signature.length));
        verifier.signerOf(message, signature);
    }

    function testFuzz_a_changed_message_has_another_signer(uint8 field, uint64 change) public view {
        vm.assume(change != 0);
        SmartLayerVerify.Attest memory message = _message(".attestations[0]");
        uint256 chosen = field % 5;
        if (chosen == 0) message.time ^= change;
        if (chosen == 1) message.expirationTime ^= change;
        if (chosen == 2) message.salt ^= bytes32(uint256(change));
        if (chosen == 3) message.refUID ^= bytes32(uint256(change));
        if (chosen == 4) message.recipient = address(uint160(message.recipient) ^ uint160(change));
        try verifier.signerOf(message, _bytes(".attestations[0]", ".signature")) returns (address signer) {
            require(signer != _address(".attestations[0]", ".signer"), "a changed message kept its signer");
        } catch {} // no key at all fits: as good
    }

    function _checkBatch(string memory path) private view returns (uint256 count) {
        string memory rootPath = string.concat(path, ".root");
        SmartLayerVerify.Attest memory root = _message(rootPath);
        bytes memory signature = _bytes(rootPath, ".signature");
        for (; vm.keyExistsJson(json, _at(string.concat(path, ".leaves"), count)); ++count) {
            string memory leafPath = _at(string.concat(path, ".leaves"), count);
            SmartLayerVerify.Attest memory leaf = _message(leafPath);
            same(verifier.digestOf(leaf), _bytes32(leafPath, ".digest"), leafPath);
            same(
                verifier.batchSignerOf(leaf, _proof(leafPath), root, signature), _address(rootPath, ".signer"), leafPath
            );
        }
    }

    function _message(string memory at) private view returns (SmartLayerVerify.Attest memory message) {
        string memory path = string.concat(at, ".message");
        message.version = uint16(_uint(path, ".version"));
        message.schema = _bytes32(path, ".schema");
        message.recipient = _address(path, ".recipient");
        message.time = uint64(_uint(path, ".time"));
        message.expirationTime = uint64(_uint(path, ".expirationTime"));
        message.revocable = vm.parseJsonBool(json, string.concat(path, ".revocable"));
        message.refUID = _bytes32(path, ".refUID");
        message.data = _bytes(path, ".data");
        message.salt = _bytes32(path, ".salt");
    }

    function _at(string memory list, uint256 index) private pure returns (string memory) {
        return string.concat(list, "[", vm.toString(index), "]");
    }

    function _proof(string memory path) private view returns (bytes32[] memory) {
        return vm.parseJsonBytes32Array(json, string.concat(path, ".proof"));
    }

    function _bytes32(string memory path, string memory key) private view returns (bytes32) {
        return vm.parseJsonBytes32(json, string.concat(path, key));
    }

    function _bytes(string memory path, string memory key) private view returns (bytes memory) {
        return vm.parseJsonBytes(json, string.concat(path, key));
    }

    function _address(string memory path, string memory key) private view returns (address) {
        return vm.parseJsonAddress(json, string.concat(path, key));
    }

    function _uint(string memory path, string memory key) private view returns (uint256) {
        return vm.parseJsonUint(json, string.concat(path, key));
    }
}
