package rules

// partsNeeded is the share of expected parts under which a sum is unknown.
const partsNeeded = 0.9
