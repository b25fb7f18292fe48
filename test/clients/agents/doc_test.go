// Package agents_test meets examples/agent-to-agent/agent_token.py, by which an agent
// gets tokens for another: when it asks the issuer, what it asks, and what it does
// while the issuer does not answer. The example's page runs the whole of it.
package agents_test
