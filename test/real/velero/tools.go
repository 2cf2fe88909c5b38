//go:build tools

// Package tools pins what `make real-components` builds: the real command velero.
package tools

import _ "github.com/vmware-tanzu/velero/cmd/velero"
