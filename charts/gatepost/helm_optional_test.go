//go:build !cluster

package gatepost_test

const requireHelm = false
