package sidecar

// cookieHeader is the canonical name of the header with all cookies.
const cookieHeader = "Cookie"
