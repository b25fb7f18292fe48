// Package agno_test meets the sidecar with clients nobody here wrote: the Agno client
// for agents (npm @rodrigocoliveira/agno-client) and its React provider in Chromium,
// from a page of another origin, with an agent that has AgentOS's routes and CORS
// middleware. The page is examples/agno-client as it is.
//
// driver.mjs plays the scenes; the tests here say what must come of them, at the page,
// at the sidecar and at the agent.
package agno_test
