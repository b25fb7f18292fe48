package token

import "math/big"

// rocaPrimes are the small primes by which the moduli of one faulty generator
// give themselves away (CVE-2017-15361, Nemec et al. 2017): modulo each of them
// such a modulus is a power of 65537. A sound one is for all of them with a
// chance of about 2^-28.
var rocaPrimes = [...]int64{
	3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97,
	101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
}

// isROCA reports whether a modulus is of that generator.
func isROCA(modulus *big.Int) bool {
	var remainder big.Int
	for _, prime := range rocaPrimes {
		if !isPowerOf65537(remainder.Mod(modulus, big.NewInt(prime)).Int64(), prime) {
			return false
		}
	}
	return true
}

func isPowerOf65537(value, prime int64) bool {
	power := int64(1)
	for range prime {
		if power == value {
			return true
		}
		power = power * (65537 % prime) % prime
	}
	return false
}
