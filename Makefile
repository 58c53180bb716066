# `make demo` and `make test` need only Python 3.11, make and npm; everything else is set up here.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PROTOS := $(wildcard protos/shiwu/v1/*.proto)

.PHONY: demo up test test-long bench loadtest chaos lint type proto proto-check images lock clean

demo: $(VENV)/.serve
	$(BIN)/python -m evaluation.demo

up: $(VENV)/.serve
	$(BIN)/shiwu up

# Most tests wait for processes that they have started; more than two at a time would be late for what has a limit.
test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist loadfile

# What takes minutes: a real Milvus cluster (which needs apt-get), shards moved under scans.
test-long: $(VENV)/.dev
	$(BIN)/python -m pytest -m long -s

# Speed: the steps of a scan, and what the mesh adds to it.
bench: $(VENV)/.dev
	$(BIN)/python -m evaluation.steps
	$(BIN)/python -m evaluation.overhead

# Load with real photos by k6 on a mesh of its own; fails if a threshold of tests/load/scan.js is crossed.
loadtest: $(VENV)/.dev
	$(BIN)/python -m evaluation.load

# The short form of evaluation.chaos: every fault once, on real stores.
chaos: $(VENV)/.dev
	$(BIN)/python -m pytest -m chaos tests/chaos

lint: $(VENV)/.dev node_modules/.package-lock.json
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(MAKE) proto-check

type: $(VENV)/.dev
	$(BIN)/mypy

# --- contract -------------------------------------------------------------------------------------------------------

SITE = $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
PROTOC = PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I protos -I build/include -I $(SITE)

# googleapis-common-protos ships this file under another name than the one that its own Python code registers.
OPERATIONS = build/include/google/longrunning/operations.proto
$(OPERATIONS): | $(VENV)/.dev
	mkdir -p $(@D)
	cp $(SITE)/google/longrunning/operations_proto.proto $@

# Generates shiwu/v1 and docs/api.md from the protos.
proto: $(VENV)/.dev build/protos.binpb
	$(PROTOC) --python_out=. --pyi_out=. --grpc_python_out=. --mypy_grpc_out=quiet:. $(PROTOS)
	rm -f shiwu/v1/vision_pb2_grpc.* shiwu/v1/catalog_resources_pb2_grpc.*
	$(BIN)/python docs/make_api.py build/protos.binpb > docs/api.md

build/protos.binpb: $(PROTOS) $(OPERATIONS) | $(VENV)/.dev
	$(PROTOC) --include_imports --include_source_info --descriptor_set_out=$@ $(PROTOS)

# The protos keep the style guide and their released form, and what was generated from them is up to date.
proto-check: build/protos.binpb node_modules/.package-lock.json
	node_modules/.bin/buf lint build/protos.binpb --config buf.yaml
	node_modules/.bin/buf breaking build/protos.binpb --against protos/released.binpb --config buf.yaml
	rm -rf build/generated && mkdir -p build/generated
	$(PROTOC) --python_out=build/generated --pyi_out=build/generated --grpc_python_out=build/generated \
	  --mypy_grpc_out=quiet:build/generated $(PROTOS)
	rm -f build/generated/shiwu/v1/vision_pb2_grpc.* build/generated/shiwu/v1/catalog_resources_pb2_grpc.*
	diff -r -x __pycache__ -x __init__.py build/generated/shiwu/v1 shiwu/v1
	$(BIN)/python docs/make_api.py build/protos.binpb | diff - docs/api.md

# --- images ---------------------------------------------------------------------------------------------------------

# By docker, or BUILDER=buildah. PIP_CONF and CA: pip's configuration and its certificates, where it needs any.
BUILDER ?= docker
REGISTRY ?= registry.example/shiwu
TAG ?= 0.1.0
IMAGES := gateway detector embedder classifier search catalog models

images: $(IMAGES:%=image-%)

image-%:
	$(BUILDER) build --file deploy/docker/Dockerfile --target $* --tag $(REGISTRY)/$*:$(TAG) \
	  $(if $(PIP_CONF),--secret id=pip$(,)src=$(PIP_CONF)) $(if $(CA),--secret id=ca$(,)src=$(CA)) .

, := ,

# --- environment ----------------------------------------------------------------------------------------------------

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# What serving and the demo need.
$(VENV)/.serve: requirements/serve.txt pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -r requirements/serve.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps -e .
	touch $@

# The above, training and the tools of development.
$(VENV)/.dev: requirements/dev.txt $(VENV)/.serve
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -r requirements/dev.txt
	touch $@

node_modules/.package-lock.json: package-lock.json
	npm ci --silent --ignore-scripts

# Pins what pyproject.toml asks for.
COMPILE = $(BIN)/pip-compile --quiet --strip-extras --allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links
lock:
	$(COMPILE) --extra cpu --extra embedded --extra postgres --extra jobs -o requirements/serve.txt pyproject.toml
	$(COMPILE) --extra cpu --extra embedded --extra postgres --extra tracing --extra train --extra export --extra triton --extra jobs --extra articles --extra crawl --extra dev \
	  -c requirements/serve.txt -o requirements/dev.txt pyproject.toml
	sed -i 's/^\(torch==[0-9.]*\)+cpu/\1/' requirements/dev.txt

clean:
	rm -rf build $(VENV) node_modules
