-- SPDX-License-Identifier: Apache-2.0

std = "luajit"
max_line_length = 120
max_comment_line_length = 200 -- an annotation is one line
codes = true
self = false            -- a hook is a method whether or not it uses self
exclude_files = { "build", "lua/demilune/cdef.lua" }

-- busted's globals exist in specs only; everywhere else a new global is a fault.
files["**/*_spec.lua"].std = "luajit+busted"
files["spec/support/**"].std = "luajit+busted"
files["**/*.rockspec"].std = "rockspec"
