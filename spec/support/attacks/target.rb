# frozen_string_literal: true

require_relative "../raw_client"
require_relative "../server"

module Attacks
  # A reactor that is attacked again and again; and, on each of its servers, a connection that must
  # not notice.
  class Target
    # Options under which an echo stays as it is.
    COMPRESSION = { compression: { threshold: 1_000_000 } }.freeze
    SERVERS = {
      plain: {}, strict: { strict: true }, compressing: COMPRESSION,
      # Every version, and none of them with the patience that is usual.
      strict_of_all: { strict: true, versions: Drafts::ALL.map(&:number) }
    }.freeze

    ECHOES = {
      message: ->(ws, text) { ws.send(text) },
      binary: ->(ws, bytes) { ws.send_binary(bytes) }
    }.freeze

    # Makes one, on EventMachine's own sockets or in the background, with TLS or without.
    def initialize(attached: false, secure: false)
      @secure = secure
      @seen = {}
      base = secure ? { secure: true, tls_options: Certificate.tls_options } : {}
      kind = attached ? EM::WebSocket::Connection : nil
      @server = Server.new(base.merge(SERVERS[:plain]), kind) { |ws| watch(ws) }
      others = SERVERS.except(:plain).transform_values do |options|
        @server.also(base.merge(options)) { |ws| watch(ws) }.last
      end
      @ports = { plain: @server.port, **others }
      @bystanders = @ports.transform_values { |port| Bystander.new(dial(port), self) }
    end

    def stop
      @bystanders.each_value(&:leave)
      @server.stop
    end

    # Arguments of `dial` for a server of this kind.
    def address(server) = { port: @ports.fetch(server), tls: @secure }

    # Events of this client's connection, from the accept block on.
    def seen_of(client)
      port = client.local_port
      @server.connection until @seen.key?(port)
      @seen.delete(port)
    end

    # Every event that the reactor has still to tell of is told now.
    def settle = @server.call {}

    def bystander(server) = @bystanders.fetch(server)

    private

    def dial(port) = RawClient.open(port, tls: @secure)

    # The port is known at once, on either kind of connection, and is the client's alone.
    def watch(ws)
      ws.max_frame_size = MAX_FRAME
      ws.max_message_size = MAX_MESSAGE
      seen = @seen[Socket.unpack_sockaddr_in(ws.get_peername).first] = Mailbox.new
      Serving::CALLBACKS.each do |name|
        ws.public_send("on#{name}") do |value|
          seen << Event.new(name: name, value: value, state: ws.state)
          ECHOES[name]&.call(ws, value)
        end
      end
    end
  end

  # A connection that was there before the attack.
  class Bystander
    def initialize(client, target)
      @client = client
      @seen = target.seen_of(client)
      @seen.pop
      @talks = 0
    end

    # Talk with the client, and the events of the application since the last one.
    def talk
      @client.text(word = "still here, #{@talks += 1}")
      echo = @client.read_text
      { word: word, echo: echo, told: @seen.drain.map { |event| [event.name, event.value] } }
    end

    def leave = @client.disconnect
  end
end
