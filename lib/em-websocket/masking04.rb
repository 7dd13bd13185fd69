# frozen_string_literal: true

# Here is MaskedString, in em-websocket.
require_relative "../em-websocket"
