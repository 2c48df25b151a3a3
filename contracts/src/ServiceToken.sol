// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title The unit of payment between integrations, nodes and issuers.
contract ServiceToken is ERC20, ERC20Permit {
    constructor(address treasury, uint256 supply)
        ERC20("Smart Layer Service Token", "SVC")
        ERC20Permit("Smart Layer Service Token")
    {
        _mint(treasury, supply);
    }
}
