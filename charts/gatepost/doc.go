// Package gatepost is the Helm chart's tests: they render the chart and compare
// with golden files, with the CRDs of config/crd and with the plain manifests of
// config/{rbac,webhook,admission,monitoring,default}, which are made from it. There is no
// code here and the chart's package contains none of this.
package gatepost

//go:generate go test . -count 1 -update
