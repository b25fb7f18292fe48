package token

// Sign signs any bytes, so that tests can sign what Mint would not write.
var Sign = sign

// DecodeObject is the JSON reader, for its fuzz test.
var DecodeObject = decodeObject
