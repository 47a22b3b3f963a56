module github.com/jupico-operator/jupico-operator/hack/release

go 1.26.0
