# frozen_string_literal: true

require "socket"
require_relative "../connection"
require_relative "../forks"
require_relative "../listening"
require_relative "../reactor"
require_relative "../servers"
require_relative "queue_watcher"
require_relative "unix_address"

module EventMachine
  module WebSocket
    # A server whose sockets are the native core's: its threads accept, read, check and write, and
    # the reactor's thread is told.
    #
    # @api private
    class BackgroundServer
      # EventMachine's text, which programs may know. Its cause says more.
      NO_REACTOR = "eventmachine not initialized: evma_create_tcp_server"

      # em-websocket raises at the first client.
      NO_BLOCK = "no block: give EM::WebSocket.run or start one, which sets the callbacks " \
                 "of each connection"

      class << self
        # @return [BackgroundServer, nil] the one whose connection is being accepted, on the
        #   reactor's thread
        attr_accessor :accepting

        # @param options [Hash] those of {WebSocket.run}
        # @param block [Proc]
        # @return [BackgroundServer]
        def start(options, block)
          reactor = Reactor.current
          no_reactor unless EventMachine.reactor_running?
          raise ArgumentError, NO_BLOCK unless block

          server = new(options, block, reactor)
          Servers.add(server)
          # EventMachine's own thread must see it; on that thread, this is at once.
          Reactor.schedule { server.watch }
          no_reactor if server.stopped? && !EventMachine.reactor_running?
          server
        end

        private

        def no_reactor
          cause = RuntimeError.new("no reactor runs: call EM::WebSocket.run in the block of " \
                                   "EM.run, or EM::WebSocket.start")
          raise NO_REACTOR, cause: cause
        end
      end

      # @return [Integer] what EM.stop_server and EM.get_sockname take
      attr_reader :signature

      # @return [Options]
      attr_reader :options

      # @return [Object, nil] the {Reactor.current} that it was started in
      attr_reader :reactor

      # @param (see .start)
      # @param reactor [Object, nil]
      def initialize(options, block, reactor)
        @options = Options.new(options, Certificates.new)
        @block = block
        @reactor = reactor
        @on_stopped = Thread::Queue.new
        @options.certificates.config(@options[:tls_options] || {}) if @options[:secure]
        @native = Listening.open(@options)
        @signature = @native.signature
        @address = @native.local
      end

      # Begins to hear what happens; on the reactor's thread.
      def watch
        return if @stopped
        return stop unless EventMachine.reactor_running? && @reactor.equal?(Reactor.current)

        @watch = EventMachine.watch(@native.fd, QueueWatcher, self)
        @watch.notify_readable = true
        # A descriptor that is detached before EventMachine's next round is kept by it for ever.
        Reactor.next_tick do
          @watched = true
          stop_if_idle
        end
      end

      # Tells what has happened; on the reactor's thread.
      def drain
        @native.drain(self)
        stop_if_idle
      end

      # Makes the object of a connection that was accepted, for the native side.
      def accept(native)
        # The native side closes what is not started.
        return if @shutting_down

        connection = Connection.allocate
        @native.adopt(native, connection)
        BackgroundServer.accepting = self
        connection.__send__(:initialize, @options.source)
        connection.post_init
        @block.call(connection)
        # Nobody is let in if any of this has raised: the native side closes what is not started.
        options, flags = native.prepare_start(connection, @options)
        @native.start(native, connection, options.settings, flags)
      ensure
        BackgroundServer.accepting = nil
      end

      # Tells, for the native side, that a block of the application's has raised.
      #
      # @param connection [Connection]
      # @param error [StandardError]
      def application_error(connection, error)
        Transport.application_error(connection, error)
      end

      # @return [Native::Request, nil] of the connection that is being opened, once
      def take_request
        @native.take_request
      end

      # @return [String] the address that is listened on, packed
      def sockname
        return Transport::UnixAddress.pack(@address) if @address.is_a?(String)

        host, port = @address
        Socket.pack_sockaddr_in(port, host)
      end

      # The application has begun to end the server: health checks say so.
      def drain_soon
        @draining = true
      end

      # @return [Boolean] whether health checks say that it is being ended
      def draining?
        @draining || false
      end

      # @return [Integer]
      def connection_count
        @native.size
      end

      # Stops accepting; the port is free when it returns. Connections go on.
      def stop_listening
        @native.stop_listening
        # A connection that was accepted and not told yet is among what waits.
        Reactor.schedule { stop_if_idle }
        nil
      end

      # Calls the block when everybody is gone and the server has ended, at once where it has. May
      # be called from any thread, and more than once.
      def on_stopped(&block)
        @on_stopped << block
        call_on_stopped if @released
      end

      # Lets nobody in any more, for the server is about to be replaced, and answers 503; where
      # another process may have its socket, accepts nobody any more. On the reactor's thread.
      #
      # @return [Array<Connection>] those who are here, and are to be closed one after the other
      def restart
        return [] if @stopped || @shutting_down

        @restarting = true
        @native.restart
        Reactor.schedule { stop_if_idle }
        @native.connections
      end

      # Closes one of those, unless it is gone, or all are told already.
      #
      # @param connection [Connection]
      # @param code [Integer]
      def close_one(connection, code)
        return if @stopped || @shutting_down || untellable?(connection)

        Transport.close_unasked(connection, code, nil)
      end

      # Accepts nobody new, and closes everybody; on the reactor's thread.
      #
      # @param code [Integer]
      def shut_down(code)
        return if @stopped

        @shutting_down = code
        @native.connections.each do |connection|
          Transport.close_unasked(connection, code, nil) unless untellable?(connection)
        end
        stop_listening
      end

      # The application has been told of an opening handshake, or asked about it.
      #
      # @param connection [Connection]
      def opening_told(connection)
        Transport.close_unasked(connection, @shutting_down, nil) if @shutting_down
      end

      # Ends the connections that are left.
      def abort_all
        @native.connections.each(&:close_connection) unless @stopped
      end

      # @return [Hash, nil] see {WebSocket.stats}; nil once the server has ended
      def stats
        @native.stats
      end

      # @return [Array<Array(Array<Integer>, Float)>] how long drains took, and how long the oldest
      #   event of each had waited: a count for each of {Native::HISTOGRAM_BOUNDS} and for what is
      #   longer, and the sum in seconds
      def histograms
        @native.histograms
      end

      # @return [String] the address that is listened on, as in a URL; of a Unix-domain socket its
      #   path, behind `unix:`
      def authority
        return "unix:#{@address}" if @address.is_a?(String)

        host, port = @address
        "#{host.include?(":") ? "[#{host}]" : host}:#{port}"
      end

      # @param signature [Integer]
      # @return [Connection, nil] the connection with this signature, while it is there
      def connection(signature)
        @native.find(signature)
      end

      # (see Servers.send_data)
      def send_data(signature, data)
        @native.send_data(signature, data)
      end

      # @return [Boolean]
      def stopped?
        @stopped || false
      end

      # Stops, for the reactor ends, or has ended. Every connection that is open is told so.
      def stop
        return if @stopped || !@native.may_end?

        @stopped = true
        Servers.forget(signature)
        @native.stop
        failure = nil
        @native.connections.each do |connection|
          Transport.of(connection).unbound(connection, true)
        rescue Exception => e # rubocop:disable Lint/RescueException -- the others come first
          failure ||= e
        end
        @native.release
        @released = true
        begin
          call_on_stopped
        rescue Exception => e # rubocop:disable Lint/RescueException
          failure ||= e
        end
        raise failure if failure
      end

      # Lets go, in a forked child, of what is the parent's.
      def abandon
        @stopped = true
        watched = @native.fd
        inherited = @native.abandon
        # EventMachine may go on in the child, and ends the process over a watched descriptor that
        # has been closed: this one becomes another, on which nothing ever happens.
        if @watch && inherited.delete(watched)
          quiet, @open = IO.pipe
          @quiet = IO.for_fd(watched).reopen(quiet)
          quiet.close
        end
        inherited.each { |fd| IO.for_fd(fd).close }
      end

      private

      # Tells if it ends with the response, or behind `onopen`.
      def untellable?(connection)
        transport = Transport.of(connection)
        transport.cold_state&.http || transport.native.answered?
      end

      # A server that does not listen any more ends with its last connection, and one that is being
      # restarted does not listen for longer than that.
      def stop_if_idle
        return if @stopped || !@watched || !@native.size.zero? || @native.waiting?

        @native.stop_listening if @restarting && @native.listening?
        return if @native.listening?
        return look_again if @restarting && @native.rejecting?

        @watch.detach
        stop
      end

      # Clients are being answered that they are not let in: they have 2 seconds to read it.
      def look_again
        return if @looks_again

        @looks_again = true
        EventMachine.add_timer(0.02) do
          @looks_again = false
          stop_if_idle
        end
      end

      # Calls each block once; where one raises, the others come first.
      def call_on_stopped
        block = @on_stopped.pop(true)
      rescue ThreadError
        nil # All have been told.
      else
        begin
          block.call
        ensure
          call_on_stopped
        end
      end
    end
  end
end
