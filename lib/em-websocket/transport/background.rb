# frozen_string_literal: true

require "socket"
require_relative "../connection"
require_relative "../reactor"

module EventMachine
  module WebSocket
    # A server whose sockets are the native core's: its threads accept, read, check and write, and
    # the reactor's thread is told.
    #
    # @api private
    class Background
      # EventMachine counts its own signatures up from 1.
      FIRST_SIGNATURE = 1 << 48

      @servers = {}
      @signature = FIRST_SIGNATURE
      @lock = Mutex.new

      class << self
        # @param options [Hash] those of {WebSocket.run}
        # @param block [Proc]
        # @return [Background]
        def start(options, block)
          unless EventMachine.reactor_running?
            raise "eventmachine not initialized: evma_create_tcp_server"
          end

          new(options, block).tap do |server|
            @lock.synchronize { @servers[server.signature] = server }
            # EventMachine's own thread must see it; on that thread, this is at once.
            EventMachine.schedule { server.watch }
          end
        end

        # @return [Background, nil]
        def [](signature)
          @servers[signature]
        end

        # @return [Boolean] whether a signature is of this library, its server there or gone
        def signature?(signature)
          signature.is_a?(Integer) && signature > FIRST_SIGNATURE
        end

        # @return [Array<Background>] every server that has not ended
        def all
          @servers.values
        end

        # @return [Integer] the connections of all servers
        def connection_count
          @servers.each_value.sum(&:connection_count)
        end

        # @return [Integer] unique in the process
        def next_signature
          @lock.synchronize { @signature += 1 }
        end

        # In a forked child: the servers are the parent's.
        def forked
          @lock = Mutex.new
          Native.forked
          @servers.each_value(&:abandon)
          @servers = {}
        end

        # The server has ended.
        def forget(signature)
          @lock.synchronize { @servers.delete(signature) }
        end
      end

      # @return [Integer] what EM.stop_server and EM.get_sockname take
      attr_reader :signature

      # (see .start)
      def initialize(options, block)
        @options = Options.new(options, Certificates.new)
        @block = block
        @options.certificates.config(@options[:tls_options] || {}) if @options[:secure]
        @native = Native::Server.bind(*@options.address, @options.settings)
        @signature = self.class.next_signature
        @address = @native.local
      end

      # On the reactor's thread: begins to hear what happens.
      def watch
        return if @ended

        @reactor = EventMachine.watch(@native.fd, Reactor, self)
        @reactor.notify_readable = true
      end

      # On the reactor's thread: tells what has happened.
      def drain
        @native.drain(self)
        retire
      end

      # For the native side: makes the object of a connection that was accepted.
      def accept(native)
        # The native side closes what is not started.
        return if @on_end

        connection = Connection.allocate
        @native.adopt(native, connection)
        connection.background_accepted(native, self.class.next_signature, @options)
        connection.__send__(:initialize, @options.source)
        connection.post_init
        begin
          @block.call(connection)
        ensure
          connection.background_start(self)
        end
      end

      # Begins to read a connection.
      #
      # @param native [Native::Connection]
      # @param tls [Native::TlsConfig, nil]
      # @param settings [Native::Settings]
      # @param traits [Array<Symbol>] what has been found to be true of it
      def read(native, tls, settings, traits)
        @native.start(native, tls, settings, traits)
      end

      # @return [String] the address that is listened on, packed
      def sockname
        host, port = @address
        Socket.pack_sockaddr_in(port, host)
      end

      # @return [Integer]
      def connection_count
        @native.size
      end

      # Stops accepting; the port is free when it returns. Connections go on.
      def stop_listening
        @native.stop_listening
        # A connection that was accepted and not told yet is among what waits.
        EventMachine.schedule { retire }
        nil
      end

      # On the reactor's thread: nobody new is accepted, everybody is closed, and the block is
      # called when all of them are gone.
      #
      # @param code [Integer]
      def shut_down(code, &on_end)
        return yield if @ended

        @on_end = on_end
        @native.connections.each do |connection|
          connection.__send__(:close_websocket_private, code, nil)
        end
        stop_listening
      end

      # Ends the connections that are left.
      def cut_off
        @native.connections.each(&:close_connection) unless @ended
      end

      # @return [Hash, nil] see {WebSocket.stats}; nil once the server has ended
      def stats
        @native.stats
      end

      # On the reactor's thread: the reactor ends. Every connection that is open is told so.
      def ended
        return if @ended

        @ended = true
        self.class.forget(signature)
        @native.stop
        failure = nil
        @native.connections.each do |connection|
          connection.background_unbind
        rescue Exception => e # rubocop:disable Lint/RescueException -- the others come first
          failure ||= e
        end
        @native.release
        @on_end&.call
        raise failure if failure
      end

      # In a forked child: lets go of what is the parent's.
      def abandon
        @ended = true
        @native.abandon.each { |fd| IO.for_fd(fd).close }
      end

      private

      # A server that does not listen any more ends with its last connection.
      def retire
        return if @ended || @native.listening? || !@native.size.zero? || @native.waiting?

        @reactor&.detach
        # EventMachine does not call unbind on what it had not begun to watch yet.
        ended
      end
    end

    # Notices forks, however they are made (Ruby 3.1's Process._fork).
    #
    # @api private
    module Forks
      # @return [Integer] 0 in the child
      def _fork
        super.tap { |pid| Background.forked if pid.zero? }
      end
    end

    Process.singleton_class.prepend(Forks)
  end
end
