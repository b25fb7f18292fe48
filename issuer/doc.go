// Package issuer is the token issuer: an HTTP server that gives short tokens to
// those who may have one, and shows by which keys they are verified.
//
// A front end asks /api/get-token with the session it has (a token of another
// system, a cookie that is introspected, or nothing, where anonymous visitors are
// allowed) and gets {"token"}. A program asks /token in the words of OAuth: client
// credentials, a password, a token of its own that is exchanged, or a refresh
// token. /.well-known has the public keys and the metadata.
//
// What is decided is decided elsewhere: package grant says who gets which token,
// package token verifies sessions, package password knows passwords. Here stands
// what only a server can do: reading requests strictly, answering in the words of
// the RFCs and of browser clients, holding back who asks too often, and signing.
//
// One atomic pointer holds everything that a request is judged by. A reload swaps
// it whole and keeps the last good one when what was read is not right. Signing
// alone looks at the pointer again, under a lock that a reload takes: once a new
// key is in force no request is signed with the old one, which is what State.Signs
// tells the controller.
package issuer
