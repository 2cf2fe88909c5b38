module circleci-runbooks/velero
go 1.22
require github.com/vmware-tanzu/velero v1.9.0
replace github.com/gogo/protobuf => github.com/gogo/protobuf v1.3.2
