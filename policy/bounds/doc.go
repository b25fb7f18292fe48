// Package bounds keeps the bounds of a document's fields and collects what is
// wrong with it.
//
// What people write for Gatepost has a schema in the cluster and none in a file.
// So whoever compiles a document checks every bound again: a Checker notes each
// field that breaks one, with what is wrong and how to put it right, and goes on,
// so that an author learns everything at once. No message quotes an API key.
package bounds
