// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";

/// @title ERC-5169: a token that says where its script is.
interface IERC5169 {
    event ScriptUpdate(string[] newScriptURI);

    function scriptURI() external view returns (string[] memory);

    function setScriptURI(string[] memory newScriptURI) external;
}

/// @title A flight ticket: the demo token of the whitepaper.
contract FlightTicket is ERC721, Ownable, IERC5169 {
    string[] private _scriptURI;

    constructor(address airline) ERC721("Flight Ticket", "FLY") Ownable(airline) {}

    function mint(address to, uint256 tokenId) external onlyOwner {
        _safeMint(to, tokenId);
    }

    /// @inheritdoc IERC5169
    function scriptURI() external view returns (string[] memory) {
        return _scriptURI;
    }

    /// @inheritdoc IERC5169
    function setScriptURI(string[] memory newScriptURI) external onlyOwner {
        _scriptURI = newScriptURI;
        emit ScriptUpdate(newScriptURI);
    }

    function supportsInterface(bytes4 interfaceId) public view override returns (bool) {
        return interfaceId == type(IERC5169).interfaceId || super.supportsInterface(interfaceId);
    }
}
