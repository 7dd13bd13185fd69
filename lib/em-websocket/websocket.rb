# frozen_string_literal: true

require_relative "channel"
require_relative "channels"
require_relative "checks"
require_relative "limits"
require_relative "log"
require_relative "metrics"
require_relative "options"
require_relative "pubsub"
require_relative "shutdown"
require_relative "signatures"
require_relative "transport/background_server"

module EventMachine
  # See em-websocket.rb.
  module WebSocket
    class << self
      # Runs EventMachine's reactor with a server in it, until TERM, INT or {.stop}. Inside a
      # running reactor it returns at once. Where the server's certificate comes from files, USR1 is
      # {.reload_tls}, unless the application has trapped it before.
      #
      # @example An echo server
      #   EM::WebSocket.start(host: "127.0.0.1", port: 8080) do |ws|
      #     ws.onmessage { |text| ws.send(text) }
      #   end
      # @option options [Boolean, Numeric, Hash] :graceful (false) whether TERM and INT end by
      #   {.shutdown}; a number is its timeout, in seconds, Float::INFINITY: no limit; a Hash has
      #   some of `:timeout`, `:within` and `:delay`. A second signal does not wait
      # @param (see .run)
      # @yieldparam (see .run)
      # @raise (see .run)
      def start(options, &block)
        graceful = Options.read(Checks.keyed(:options, options, Options::ADVICE), :graceful)
        @stopping = nil
        EventMachine.epoll
        EventMachine.run do
          trap("TERM") { stop_as(graceful) }
          trap("INT") { stop_as(graceful) }
          server = Servers[run(options, &block)]
          reload_on_usr1 if server&.options&.certificates&.files?
        end
      end

      # Starts a server in the running reactor. May be called from any thread.
      #
      # Every option is read once, here, by `[]` with a Symbol; what the application does to the
      # Hash afterwards changes nothing. A number may be of any class, Float::INFINITY is no limit,
      # and nil is as good as not given. docs/options.md says what happens past each limit.
      #
      # @example On a port that the system chooses
      #   EM.run do
      #     server = EM::WebSocket.run(host: "127.0.0.1", port: 0) do |ws|
      #       ws.onopen { ws.send("hi") }
      #     end
      #     port, = Socket.unpack_sockaddr_in(EM.get_sockname(server))
      #   end
      # @param options [Hash, #[]]
      # @option options [String] :host what to listen on; "": every IPv4 interface
      # @option options [Integer, String] :port 0: the system chooses; see EM.get_sockname. Where it
      #   is given, `:socket`, `:unix` and `:mode` are the application's own
      # @option options [Boolean] :reuse_port (false) whether other processes that say so, too, may
      #   listen on the same `:port` (SO_REUSEPORT): the system divides the clients among them
      # @option options [IO, Integer, Symbol, Array] :socket instead of a `:port`, a socket that
      #   listens already: a TCPServer, UNIXServer or Socket, which stays the caller's; a
      #   descriptor's number; `:systemd`, the one that systemd has passed; or
      #   `[:systemd, "name"]`, the one with that name
      # @option options [String, #to_path] :unix instead of a `:port`, the path of a Unix-domain
      #   socket, which is made, takes the place of one that nobody listens on, and is removed when
      #   the server stops listening
      # @option options [Integer] :mode (0660) permissions of the `:unix` socket's file
      # @option options [Boolean] :secure (false) TLS
      # @option options [Hash] :tls_options ({}) EventMachine's keys for `start_tls`; `:hosts`,
      #   certificates by the name that a client asks for; `:client_ca_file`, authorities of clients
      # @option options [Boolean] :secure_proxy (false) whether a proxy in front does TLS
      # @option options [Array<String, IPAddr>, String, IPAddr] :trusted_proxies addresses and
      #   networks, or `"unix"` (whoever comes by a Unix-domain socket), of proxies whose
      #   `Forwarded`, `X-Forwarded-For` and `X-Forwarded-Proto` are believed:
      #   {Connection#remote_ip}, {Handshake#remote_ip} and {Handshake#secure?}
      # @option options [Boolean, Array<String, IPAddr>, String, IPAddr] :proxy_protocol (false)
      #   whether connections begin with a header of the PROXY protocol (version 1 or 2), which says
      #   who the client is; from which addresses (or `"unix"`), or true: from any. Others are
      #   closed
      # @option options [Numeric, String] :close_timeout ({.close_timeout}) seconds
      # @option options [Integer] :outbound_limit (0) the most bytes that may wait to be written to
      #   one client, which is then cut off; 0: no limit
      # @option options [Numeric] :handshake_timeout (30) seconds that the opening handshakes, TLS
      #   and WebSocket, may take together; 0: no limit
      # @option options [Integer] :max_header_size (16384) bytes of the opening handshake's request
      # @option options [Integer] :max_headers (100) its header fields
      # @option options [Integer] :max_connections (0) past it clients are answered 503; 0: no limit
      # @option options [Integer] :max_connections_per_ip (0) of one client's address, or network of
      #   64 bits of IPv6; past it clients are answered 503; 0: no limit
      # @option options [Numeric] :handshakes_per_second (0) connections that one address begins,
      #   after as many at once; past it clients are answered 503 with Retry-After; 0: no limit
      # @option options [Numeric] :messages_per_second (0) messages that one client sends, after as
      #   many at once; past it the connection is closed (1008); 0: no limit
      # @option options [Integer] :max_subscriptions (1000) channels that one connection may be
      #   subscribed to ({Subscriptions#subscribe}), and may join; past it, a
      #   {SubscriptionLimitError} is raised
      # @option options [Symbol] :gap `:close`: a connection is closed (1012, "service restart")
      #   when one of its channels has missed messages of other processes ({WebSocket.pubsub=})
      # @option options [Integer] :inbound_limit (1 MiB) the bytes received on one connection that
      #   may wait for the callbacks, before its socket is not read any more
      # @option options [Integer] :inbound_messages (4096) the messages, likewise
      # @option options [Integer] :inbound_total (64 MiB) the bytes on all connections together,
      #   likewise, those of messages that are not complete included
      # @option options [Numeric] :write_timeout (60) seconds in which a client must take something
      #   of what waits for it; 0: no limit
      # @option options [Numeric] :ping_interval (0) seconds from one ping to the next; 0: no pings
      # @option options [Numeric] :ping_timeout (20) seconds, and a quarter more, in which a client
      #   must be heard after a ping; 0: no limit
      # @option options [Numeric] :idle_timeout (0) seconds without a message either way, after
      #   which a connection is closed (1001); 0: no limit
      # @option options [Integer] :threads (1) that serve the sockets, 1024 at most; servers with
      #   one number share them
      # @option options [Boolean] :tcp_nodelay (true) false: small writes wait for Nagle's algorithm
      # @option options [Integer] :drain_batch (1024) messages that the reactor's thread is told of
      #   at a time, before EventMachine's timers and other sockets have their turn
      # @option options [Integer] :read_size (65536) the most bytes that are read from a socket at a
      #   time, 4096 to 524288; where messages are large, 8 times as many, up to 524288
      # @option options [Integer] :max_message_size ({.max_message_size}) bytes
      # @option options [Boolean, Hash] :compression (false) permessage-deflate (RFC 7692), for
      #   clients that offer it; a Hash has some of `:level` (0 to 9; 3), `:threshold` (bytes; 860),
      #   `:context_takeover` (true), `:window_bits` (8 to 15; 15), `:memory_level` (1 to 9; 8)
      # @option options [Array<String>, String, #call] :protocols the subprotocols that are spoken,
      #   the preferred one first; or what is called with the {Handshake} and answers one that the
      #   client offers, or nil. Without it, the client's first is selected
      # @option options [Boolean] :protocols_required (false) refuse (400) a client without one
      # @option options [Array<String, Regexp, nil>] :origins who else has an `Origin` is refused
      #   (403); nil stands for clients that send none, which browsers always do
      # @option options [Array<Integer>] :versions the versions that are spoken: some of 13, 8, 7,
      #   6, 5, 3, 2, 1, 76 and 75; all of them, or 13 and 8 where it is `:strict`. Others are
      #   refused (426)
      # @option options [Boolean] :strict (false) refuse frames without a mask (RFC 6455 section
      #   5.1), HTTP/1.0 and, in whatever version, requests without a Host (400); and answer plain
      #   HTTP requests with 426
      # @option options [Hash{String => Symbol, String, #call, Hash}] :http plain HTTP by path:
      #   `:health`, `:metrics`, `:stats`, `:live`, a text, or what is called with the {HttpRequest}
      #   and answers a body, a status, `[status, headers, body]`, or nil (404)
      # @option options [#call] :rack an application of Rack 2 or 3 that answers other plain HTTP,
      #   on a thread of EM.defer
      # @option options [Integer] :http_body (1 MiB) bytes of the body of plain HTTP, past which it
      #   is refused (413)
      # @option options [Boolean] :debug (false) print what happens
      # @yieldparam connection [Connection] for each client, on the reactor's thread, before
      #   anything of it is read
      # @return [Integer] what EM.stop_server and EM.get_sockname take
      # @raise [RuntimeError] if the reactor is not running, or the address cannot be listened on
      # @raise [SystemCallError] if no `:unix` socket can be made: Errno::EADDRINUSE, where another
      #   program listens on it
      # @raise [ArgumentError, EventMachine::FileNotFoundException] if no TLS server can be made of
      #   the `:tls_options`, or another option cannot be what it is, such as a `:socket` that does
      #   not listen
      def run(options, &block)
        BackgroundServer.start(options, block).signature
      end

      # Sends one message to many clients: it is encoded once, and compressed once, for all of them,
      # and there is no loop in Ruby. May be called from any thread.
      #
      # @example To everybody
      #   clients = []
      #   EM::WebSocket.start(host: "127.0.0.1", port: 8080) do |ws|
      #     ws.onopen { clients << ws }
      #     ws.onmessage { |text| EM::WebSocket.broadcast(clients, text) }
      #     ws.onclose { clients.delete(ws) }
      #   end
      # @param connections [Enumerable<Connection>] those that are not open are passed over, and so
      #   are clients of drafts 75 and 76 where the message is binary
      # @param message [String] as for {Connection#send_text}, or {Connection#send_binary}
      # @param binary [Boolean]
      # @return [Integer] to how many clients it was sent
      # @raise [WebSocketError] if the text is not UTF-8
      # @raise [NoMethodError] if the message is no String
      def broadcast(connections, message, binary: false)
        count, others = Native.broadcast(connections.to_a, message, binary ? true : false)
        count + others.count { |connection| Handler.sent?(connection, message, binary) }
      end

      # Ends the servers of {.run} and {.start} in good order: nobody new is accepted, every client
      # is told (close code 1001, "going away"), and gets what was sent before. May be called from
      # any thread. The reactor goes on; connections of EM.start_server are yours.
      #
      # May be called in a signal handler, too, and while another is under way: then each block is
      # called, and the shortest timeout holds. Where no reactor runs there is nothing to end.
      #
      # @example Before the process ends
      #   trap("TERM") { EM::WebSocket.shutdown(10) { EM.stop } }
      # @param timeout [Numeric] seconds that clients have for that; then they are cut off;
      #   Float::INFINITY: no limit
      # @example Before the next process takes over, without all clients coming back at once
      #   trap("TERM") { EM::WebSocket.shutdown(10, within: 30) { EM.stop } }
      # @param delay [Numeric] seconds before that in which everything goes on, but the `:health`
      #   of `:http` answers 503, so that a load balancer sends nobody new
      # @param within [Numeric, nil] seconds over which the clients are told evenly, one after the
      #   other, that this is a restart (1012, "service restart"); the timeout begins when the last
      #   one has been told. New clients are answered 503 meanwhile, or, where another process may
      #   have the socket (`:socket`, `:reuse_port`) or the path (`:unix`), are left to it. nil: all
      #   clients are told at once (1001)
      # @yield once the last one is gone, on the reactor's thread; where no reactor runs, at once
      # @return [nil]
      # @raise [ArgumentError] if the timeout, the delay or `within` is no number of seconds, or
      #   negative
      def shutdown(timeout = 10, delay: 0, within: nil, &done)
        timeout = Checks.timer(Checks.duration(:timeout, timeout))
        delay = Checks.timer(Checks.duration(:delay, delay))
        within = Checks.timer(Checks.duration(:within, within)) unless within.nil?
        Shutdown.new(Servers.all, timeout, delay, within, done).begin
        nil
      end

      # Counters of the servers of {.run} and {.start}, and current values. May be called from any
      # thread.
      #
      # @example How many are here, and what waits
      #   EM::WebSocket.stats.values_at(:connections, :messages_waiting, :bytes_outbound)
      # @param signature [Integer, nil] what {.run} has returned; nil: of all servers that are there
      # @return [Hash{Symbol => Integer, Float, Hash}, nil] nil where there is no such server; with
      #   {.pubsub=}, there are the counts of channels and brokers without one. Its keys are in
      #   docs/monitoring.md; `:longest_drain` is in seconds
      def stats(signature = nil)
        servers = signature ? [Servers[signature]].compact : Servers.all
        stats = servers.filter_map(&:stats).reduce do |sum, one|
          sum.merge(one) do |key, left, right|
            case key
            when :longest_drain then [left, right].max
            when :handshakes_failed then left.merge(right) { |_, some, more| some + more }
            else left + right
            end
          end
        end
        signature ? stats : with_channels(stats)
      end

      # Reads the certificates, keys and client authorities of all servers again. New connections
      # are served with them; those that are there go on. Files that have changed are noticed by
      # themselves, with the next connection: this is for whoever wants to know that the new ones
      # are good. May be called from any thread, and in a signal handler. Connections of
      # EM.start_server are EventMachine's, which reads the files for each of them.
      #
      # A server whose files cannot be read, or do not match, goes on with all that was read before,
      # and a warning says so.
      #
      # @example After a renewal
      #   errors = EM::WebSocket.reload_tls
      #   puts "the new certificate: #{errors.map(&:message).join}" if errors.any?
      # @return [Array<ArgumentError, EventMachine::FileNotFoundException>] why; empty where all
      #   were read
      def reload_tls
        Servers.all.flat_map { |server| server.options.certificates.reload }
      end

      # {.stats} of each server that is there, and how long its drains took and its events waited,
      # as Prometheus reads it. May be called from any thread.
      #
      # @example For a server of HTTP that you have already
      #   [200, { "content-type" => EM::WebSocket::METRICS_TYPE }, [EM::WebSocket.metrics]]
      # @return [String] UTF-8; `""` where there is no server
      def metrics
        Metrics.text(Servers.all)
      end

      # Stops the reactor. Every open connection gets its `onclose`.
      def stop
        begin
          puts "Terminating WebSocket Server"
        rescue ThreadError
          # In a trap amid another write to the same stream: the line is lost, the stop is not.
          nil
        end
        EventMachine.stop
      end

      private

      # Channels are the process's. One without a server may publish.
      def with_channels(stats)
        stats ||= {} if PubSub.active?
        stats&.merge(Native.channel_stats, PubSub.stats)
      end

      # Trap of USR1, unless the application has one of its own.
      def reload_on_usr1
        before = trap("USR1") { Reactor.schedule { reload_tls } }
        trap("USR1", before) unless [nil, "DEFAULT", "SYSTEM_DEFAULT"].include?(before)
      end

      # Ends as `:graceful` says, in a trap. A second signal does not wait.
      def stop_as(graceful)
        if !graceful || @stopping
          @stopping = :at_once
          return stop
        end

        @stopping = :gracefully
        times = graceful.slice(:delay, :within)
        shutdown(graceful.fetch(:timeout, 10), **times) { stop if @stopping == :gracefully }
      end
    end
  end
end
