// Package doctor finds out why a backend does not work. It climbs a ladder, from
// the configuration to the list of tools, with requests of its own, and stops at
// the first broken rung: with the evidence, and with what mends it. It needs no
// gateway, and nothing that it does changes anything at a backend.
package doctor
