package policy

import "gatepost.dev/gatepost/policy/bounds"

// FieldError is one thing that is wrong with a policy, and what to do about it.
type FieldError = bounds.FieldError

// Errors is everything Compile found wrong, in the order of the fields.
type Errors = bounds.Errors
