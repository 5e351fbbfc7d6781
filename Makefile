# make demo [HEADLESS=1]   builds, installs what is missing and plays the sample visits
# make test                everything that must hold, the cheapest first; ends with "N passed, N failed"
# make lint models bench   parts of it
# make deb                 a Debian package of this machine's architecture in target/debian (docs/install.md)
# make package-test        that package installed, upgraded, removed and purged in a Debian of its own; lintian
# make arm64 [PROFILE=pi4|pi5|jetson]   program and Debian package for 64-bit boards (cross/README.md)
# make armv7               the same for 32-bit boards, without ONNX Runtime
# make emulated            the arm64 program's verdicts under emulation, held to this machine's
# make emulated-armv7      one picture identified by the armv7 program under emulation
# make hil                 all scenarios of the virtual bench (tests/hil): V4L2 cameras of a real kernel, emulated
# make power-cuts [CUTS=200]       the journal on a real ext4 image that loses its power; root and loop devices
# make broker-100k                 the same as `make records`
# make kills                        the relay under 500 deaths of daemon and guard each, 1,000 starts and stops
# make records [RECORDS=100000]    so many records while the broker is away, then all of them in order
# make site [TERMINALS=200] [PEOPLE=10000]   a site of so many doors on one mosquitto: times, bytes, memory
# make hostile [INPUTS=1000000] [SEED=1]   bytes from outside at the parsers of commands
# make fuzz-million [SEED=1]       10^6 bent inputs at every parser of outside bytes, seeded; a few minutes
# make ha-live                     a real Home Assistant core against broker and daemon; installs it once
# make attacks [N=10000] [SEED=1] [FPS=15]   photographs moved about before the door, counted gate by gate; an hour and more
SHELL := /bin/bash
FEATURES := --features v4l2,panel,drm,osdp,keyboard
# What armv7 boards run instead of ONNX Runtime is tested beside it.
TESTED := --features v4l2,panel,drm,tract,osdp,keyboard
TARGET := $(or $(CARGO_TARGET_DIR),target)
CACHE := models/cache

# Where finished model files or their sources lie; without it only what package registries carry is made.
CARDEA_MODELS_FROM ?= $(wildcard ../shared/models)

.PHONY: demo test lint lint-quick models bench attacks kills records site power-cuts broker-100k hostile fuzz-million ha-live hil deb package-test arm64 armv7 emulated emulated-armv7 setup browser-tools client-tools deny-tool deb-tool

# Recipes before the program itself speak on standard error: with HEADLESS=1 standard output holds records only.
demo: setup models
	@cargo build --release $(FEATURES) >&2
	@$(TARGET)/release/cardea demo $(if $(filter-out 0,$(HEADLESS)),--headless)

test: setup
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory models
	@echo "== the model build tool's tests" >&2
	@CARDEA_MODELS_FROM="$(CARDEA_MODELS_FROM)" python3 models/build/build.py test
	@python3 models/build/build.py test --registry-from-packages
	@$(MAKE) --no-print-directory browser-tools client-tools
	@echo "== tests" >&2
	@python3 tests/run.py

setup:
	@scripts/setup.sh

# By cost: seconds, then the one compilation that clippy, check and rustdoc share.
lint: lint-quick
	@echo "== clippy" >&2
	cargo clippy $(TESTED) --all-targets -- -D warnings
	@echo "== without features, and with those that no test runs" >&2
	cargo check
	cargo check --features rppal,xnnpack,cuda,tensorrt,tract
	@echo "== documentation" >&2
	RUSTDOCFLAGS="-D warnings" cargo doc $(TESTED) --no-deps --document-private-items --quiet

lint-quick: deny-tool
	@echo "== format, the test runner's own tests, licences and sources" >&2
	cargo fmt --check
	python3 -m unittest discover --quiet --start-directory tests
	cargo deny --log-level error check licenses bans sources

# What drives Chromium in tests/browser.rs, in an environment of its own.
browser-tools: target/browser/venv/done
target/browser/venv/done: tests/browser/requirements.txt
	@python3 -m venv target/browser/venv
	@target/browser/venv/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# Clients of others that speak to the server in tests/socketio.rs, tests/examples.rs and tests/schemathesis.rs.
client-tools:
	@scripts/setup.sh clients

deny-tool:
	@command -v cargo-deny >/dev/null || { echo "setup: cargo install cargo-deny --locked" >&2; cargo install cargo-deny --locked >&2; }

models:
	@python3 models/build/build.py runtime --out $(CACHE) >&2
ifneq ($(CARDEA_MODELS_FROM),)
	@python3 models/build/build.py make --pack all --from "$(CARDEA_MODELS_FROM)" --out $(CACHE) >&2
else
	@python3 models/build/build.py make --pack registry --out $(CACHE) >&2
endif
	@python3 models/build/build.py samples --out $(CACHE)/samples >&2

# Stills of real people, which are not part of this project.
STILLS ?= $(or $(CARDEA_SHARED),../shared)/data/faces
N ?= 10000
SEED ?= 1
FPS ?= 15

attacks: setup models
	@cargo build --release $(FEATURES) >&2
	@$(TARGET)/release/cardea eval attacks --stills $(STILLS)/labels.csv --root $(STILLS) --sequences $(N) --seed $(SEED) --fps $(FPS) --people 400 --json

CUTS ?= 200

power-cuts: setup
	CARDEA_POWER_CUTS=$(CUTS) cargo test $(FEATURES) --test power_cuts -- --nocapture --test-threads=1

broker-100k: records

# 500 kills of the daemon and of the guard in mid-pulse, 1,000 starts and stops: 10 minutes.
kills: setup
	CARDEA_KILLS=500 cargo test $(FEATURES) --test kills -- --nocapture --test-threads=1

RECORDS ?= 100000

records: setup
	CARDEA_RECORDS=$(RECORDS) cargo test $(FEATURES) --test broker -- --nocapture records_drain_in_order

TERMINALS ?= 200
PEOPLE ?= 10000

site: setup
	CARDEA_TERMINALS=$(TERMINALS) CARDEA_PEOPLE=$(PEOPLE) cargo test $(FEATURES) --test site -- --nocapture many_terminals

INPUTS ?= 1000000

hostile: setup
	CARDEA_INPUTS=$(INPUTS) CARDEA_SEED=$(SEED) cargo test $(FEATURES) --test hostile -- --nocapture

# The targets of fuzz/ without cargo-fuzz: the same parsers, bent seeds instead of coverage.
fuzz-million: setup
	CARDEA_PARSER_INPUTS=1000000 CARDEA_SEED=$(or $(SEED),1) cargo test $(FEATURES) --test hostile -- --nocapture no_parser

# Nightly: the daemon and mosquitto beside the core of Home Assistant, from announcement to removal.
ha-live: setup
	cargo build $(FEATURES)
	@python=$$(tests/ha/setup.sh "$(TARGET)/ha" live) && "$$python" tests/ha/live.py "$(abspath $(TARGET))/debug/cardea"

bench: setup models
	cargo bench $(FEATURES) --benches
	cargo build --release $(FEATURES)
	$(TARGET)/release/cardea bench

hil: setup models
	cargo build $(FEATURES)
	@CARDEA_BIN=$(abspath $(TARGET))/debug/cardea tests/hil/bench.sh hello camera unplug door strangers display systemd terminal

# The networks stay outside of the package, ONNX Runtime is part of it: docs/decisions.md says why.
deb: setup models deb-tool
	cargo build --release $(FEATURES)
	@scripts/stage.sh "$(TARGET)/release/cardea"
	cargo deb --no-build --variant native --output target/debian/

# The package in a Debian 12 of its own: installed, upgraded, removed, purged, with the door open meanwhile; then lintian.
package-test: deb
	@scripts/setup.sh deb
	@tests/package.sh "$$(ls -t target/debian/cardea_*_amd64.deb | head -n 1)"

PROFILE ?= arm64

arm64: setup models deb-tool
	@cross/build.sh $(PROFILE)
	cargo build --release $(FEATURES)
	@scripts/stage.sh "$(TARGET)/release/cardea" aarch64
	CARGO_TARGET_DIR="$(TARGET)/cross" cargo deb --no-build --target aarch64-unknown-linux-gnu --variant arm64 --output target/debian/

# fp32 and the registry pack: the networks run in pure Rust there.
armv7: setup models deb-tool
	@cross/build.sh armv7
	cargo build --release $(FEATURES)
	@scripts/stage.sh "$(TARGET)/release/cardea" none
	CARGO_TARGET_DIR="$(TARGET)/cross" cargo deb --no-build --target armv7-unknown-linux-gnueabihf --variant armhf --output target/debian/

# Not part of `make test`: building for arm64 and emulating it take minutes.
emulated: setup models
	@cross/build.sh arm64
	cargo build $(FEATURES)
	@cross/emulated.sh "$(TARGET)/debug/cardea"

emulated-armv7: setup models
	@cross/build.sh armv7
	@cross/emulated-armv7.sh

deb-tool:
	@command -v cargo-deb >/dev/null || { echo "setup: cargo install cargo-deb --locked" >&2; cargo install cargo-deb --locked >&2; }
