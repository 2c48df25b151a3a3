// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {SmartLayerVerify} from "./libraries/SmartLayerVerify.sol";

/// @title Who signed an attestation: SmartLayerVerify as a contract that others call, for one EAS domain.
contract AttestationVerifier {
    bytes32 public immutable domainSeparator;

    /// @param easVersion Version of the EAS contract whose domain the network signs in, such as "1.0.1".
    constructor(string memory easVersion, uint256 chainId, address eas) {
        domainSeparator = SmartLayerVerify.domainSeparator(easVersion, chainId, eas);
    }

    /// @notice What the signer signed, and the leaf of the attestation in a batch.
    function digestOf(SmartLayerVerify.Attest calldata attestation) external view returns (bytes32) {
        return SmartLayerVerify.digestOf(attestation, domainSeparator);
    }

    /// @notice The key that signed `attestation`.
    function signerOf(SmartLayerVerify.Attest calldata attestation, bytes calldata signature)
        external
        view
        returns (address)
    {
        return SmartLayerVerify.signerOf(attestation, domainSeparator, signature);
    }

    /// @notice The key that signed the batch `root` under which `leaf` is included.
    function batchSignerOf(
        SmartLayerVerify.Attest calldata leaf,
        bytes32[] calldata proof,
        SmartLayerVerify.Attest calldata root,
        bytes calldata signature
    ) external view returns (address) {
        return SmartLayerVerify.batchSignerOf(leaf, proof, root, domainSeparator, signature);
    }
}
