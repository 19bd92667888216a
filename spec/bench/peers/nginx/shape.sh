# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What the two nginx peers share, as a careful operator would write it: kept-alive connections
# both ways that are never recycled, no access log, no body that goes to a file, and of several
# buffer sizes tried the one that was cheapest for big answers. The cipher is the one that
# Demilune prefers.

# What each request is forwarded with. A location that sets headers of its own inherits none.
forward='proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;'

tls() {
    [ -n "${BENCH_TLS:-}" ] || return 0
    echo "    ssl_certificate $BENCH_CERTIFICATE;"
    echo "    ssl_certificate_key $BENCH_CERTIFICATE_KEY;"
    echo '    ssl_protocols TLSv1.3;'
    echo '    ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;'
}

# nginx_conf FOLDER MAIN HTTP LOCATIONS: the folder as nginx sees it, and what more stands in
# the three places.
nginx_conf() {
    local flags=
    [ "$BENCH_WORKERS" -eq 1 ] || flags=reuseport
    [ -z "${BENCH_TLS:-}" ] || flags="$flags ssl"
    cat <<END
$2
daemon off;
user root;
worker_processes $BENCH_WORKERS;
worker_rlimit_nofile 20000;
pid $1/nginx.pid;
error_log stderr error;
events { worker_connections 8192; }
http {
  access_log off;
  keepalive_requests 1000000000;
  keepalive_time 24h;
  keepalive_timeout 1h;
  client_body_temp_path $1/body;
  proxy_temp_path $1/proxy;
  fastcgi_temp_path $1/fastcgi;
  uwsgi_temp_path $1/uwsgi;
  scgi_temp_path $1/scgi;
  proxy_buffers 4 64k;
  proxy_busy_buffers_size 128k;
  proxy_max_temp_file_size 0;
  upstream origin {
    server 127.0.0.1:$BENCH_ORIGIN_PORT;
    keepalive 1024;
    keepalive_requests 1000000000;
    keepalive_time 24h;
    keepalive_timeout 1h;
  }
$3
  server {
    proxy_http_version 1.1;
      $forward
    listen 127.0.0.1:$BENCH_PORT backlog=4096 $flags;
$(tls)
$4
  }
}
END
}
