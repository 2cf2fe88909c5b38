# Lines to type. `make` alone lists them.
export XDG_STATE_HOME ?= $(HOME)/.local/state
RUN = npx --no-install tsx runbooks
# A shell may have a variable ENV of its own: only one that was typed here counts.
INSTALL = ENV_FILE="$(if $(findstring command,$(origin ENV)),$(ENV),$(ENV_FILE))" node --import tsx lib/install.ts

.PHONY: help install-aws install-gcp status rehearse rehearse-reset test test-matrix test-real real-components lint build bench

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-16s %s\n", $$1, $$2 }'

node_modules: package-lock.json
	npm ci
	@touch node_modules

install-aws: node_modules ## from an empty AWS account to a server that builds, with backups; ENV=prod.env, DRY_RUN=1, REHEARSE=1
	@$(INSTALL) aws

install-gcp: node_modules ## the same on Google Cloud
	@$(INSTALL) gcp

status: node_modules ## how far an installation is; CLOUD=gcp, ENV=prod.env, REHEARSE=1
	@$(INSTALL) $(or $(CLOUD),aws) status

rehearse: node_modules ## grow MongoDB's volume on the rehearsal installation
	$(RUN)/expand-pvc.ts --db mongodb --size 10Gi --rehearse --yes

rehearse-reset: ## start the next rehearsal with a fresh installation
	rm -rf "$(XDG_STATE_HOME)"/circleci-runbooks/rehearsal.*  "$(XDG_STATE_HOME)/circleci-runbooks/bin"

test: node_modules ## types, lint, pure code, every runbook on the rehearsal installation; needs nothing but Node
	npm run --silent check
	npm test --silent

test-matrix: node_modules ## each request of each runbook, killed and failing in every way; takes more than an hour
	MATRIX=full npm test --silent -- runbooks/crash runbooks/fault

test-real: node_modules ## the same runbooks on real components; says which are missing
	npm run --silent test:real

real-components: ## get the real components into ~/.cache (apt, Go)
	test/real/components.sh

lint: node_modules ## types, lint, unused code and dependencies
	npm run --silent check

build: node_modules ## dist/: the runbooks bundled, to run with nothing but Node
	npm run --silent build

bench: node_modules ## start-up, dry run and engine, as ratios within one run
	npm run --silent bench
