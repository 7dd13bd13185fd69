# frozen_string_literal: true

module Bench
  ROOT = File.expand_path("../..", __dir__)
  BUILT = File.join(ROOT, "tmp/bench")

  # A lib/ that was kept, to compare with what became of it.
  KEPT = File.join(BUILT, "before")

  # A server to measure.
  #
  # usual:: whether it takes part in a quick run; :named, where it takes part only if it is named
  Peer = Struct.new(:name, :command, :env, :usual, keyword_init: true)

  # The servers, by name.
  PEERS = {} # rubocop:disable Style/MutableConstant -- filled below

  class << self
    # One more peer: this library with options of EM::WebSocket.run, JSON.
    def with(options)
      ours = PEERS.fetch("ours")
      PEERS[options] = Peer.new(name: options, command: ours.command,
                                env: { "OPTIONS" => options }, usual: true)
    end

    private

    def peer(name, *command, env: {}, usual: true)
      PEERS[name] = Peer.new(name: name, command: command, env: env, usual: usual)
    end
  end

  here = File.join(ROOT, "bench/peers")
  programs = File.join(BUILT, "target/release")
  ruby = RbConfig.ruby
  with = ->(lib) { [ruby, "-I", lib, "#{here}/em_websocket.rb"] }
  ours = with.call(File.join(ROOT, "lib"))
  before = with.call(File.join(KEPT, "lib"))

  peer "em-websocket", ruby, "#{here}/em_websocket.rb"
  peer "ours", *ours
  peer "ours-attached", *ours, env: { "ATTACHED" => "1" }
  peer "ours-shared", *ours, env: { "SHARED" => "1" }, usual: :named
  peer "ours-channel", *ours, env: { "CHANNEL" => "1" }, usual: :named
  peer "before", *before, usual: :named
  peer "before-attached", *before, env: { "ATTACHED" => "1" }, usual: :named
  peer "faye-websocket", ruby, "#{here}/faye.rb", usual: false
  peer "websockets", "#{BUILT}/venv/bin/python", "#{here}/websockets_server.py", usual: false
  peer "ws", "node", "#{here}/ws.cjs", env: { "NODE_PATH" => "#{BUILT}/node_modules" }
  peer "tokio-tungstenite", "#{programs}/tungstenite"
  peer "fastwebsockets", "#{programs}/fastwebsockets"
  peer "raw", "#{programs}/raw"
end
