# frozen_string_literal: true

# The gem by its own name. Whoever requires "em-websocket" afterwards gets the same library, also
# where a gem of that name is on the load path too, and even earlier than this one.
require_relative "em-websocket"
