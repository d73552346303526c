// Package chart tests the Helm chart and the manifests of the operator with helm and
// kubeconform as libraries. It is a module of its own: both bring much along that nothing
// that is shipped needs.
package chart
