// Package testnet gives tests a network of their own: namespaces, a raw TCP peer that misbehaves on command, child
// processes, and one place that says which tests need what kernel and which privileges.
//
// Nothing here runs an external command, so that the tests also run in a virtual machine that has only a shell.
package testnet
