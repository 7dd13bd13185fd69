# frozen_string_literal: true

require_relative "log_line"
require_relative "transport"

module EventMachine
  # See em-websocket.rb.
  module WebSocket
    class << self
      # @return [Logger, nil] what is told of connections; nil, by default: nobody
      attr_reader :logger

      # @return [Symbol] `:text`, by default, or `:json`
      attr_reader :log_format

      # Has a line logged of every connection that is opened, closed or refused, and of every error.
      # docs/monitoring.md says what is in them. May be set at any time, from any thread; lines come
      # from the reactor's thread. Exceptions of the logger's are swallowed.
      #
      # @example
      #   EM::WebSocket.logger = Logger.new($stdout)
      # @param logger [Logger, #debug & #info & #warn & #error, nil]
      # @raise [ArgumentError] if it has no such methods
      def logger=(logger)
        unless logger.nil? || Log::LEVELS.all? { |level| logger.respond_to?(level) }
          raise ArgumentError, "logger: an object of #{logger.class} is no Logger: " \
                               "give a Logger, or nil"
        end

        @logger = logger
      end

      # Sets the form of a line.
      #
      # @param format [Symbol] `:text` (`opened id=1 ip=127.0.0.1`) or `:json`
      # @raise [ArgumentError] if it is neither
      def log_format=(format)
        raise ArgumentError, "log_format: give :text or :json" unless %i[text json].include?(format)

        @log_format = format
      end
    end

    self.log_format = :text

    # The log of connections. Without a logger nothing is kept for it.
    #
    # @api private
    module Log
      # Levels that a logger has.
      LEVELS = %i[debug info warn error].freeze

      # State of a connection that is logged: when it was opened, the client's address, its
      # request's path, its version, and the close code once that is known.
      Entry = Struct.new(:opened, :ip, :path, :version, :code)

      class << self
        # The WebSocket is about to be open.
        #
        # @param handshake [Handshake]
        def opened(connection, transport, handshake)
          return unless WebSocket.logger

          entry = Entry.new(now, address(connection, transport), handshake.path,
                            handshake.protocol_version)
          transport.cold_state!.log = entry
          tell(:info, :opened, connection, version: entry.version, path: entry.path)
        end

        # Notes how the connection has ended.
        #
        # @param event [Hash] what `onclose` is told
        # @return [Hash] the same
        def ended(connection, event)
          entry = WebSocket.logger && Transport.of(connection).cold_state&.log
          entry.code = event[:code] if entry
          event
        end

        # The connection is gone, and the application has been told.
        #
        # @param transport [Native::Connection, Transport::AttachedConnection, nil]
        def closed(connection, transport)
          return unless WebSocket.logger && transport

          entry = transport.cold_state&.log
          limit = transport.native&.ended_by
          tell(:warn, :limit, connection, limit: limit) if limit
          # It was opened before there was a logger.
          entry ||= Entry.new if Transport.get(connection, :@handler)
          # Of a client that was never let in, the refusal tells.
          return tell(:debug, :left, connection) unless entry

          seconds = (now - entry.opened).round(3) if entry.opened
          tell(:info, :closed, connection, version: entry.version, path: entry.path,
                                           code: entry.code, seconds: seconds,
                                           **traffic(transport))
        end

        # The client was not let in.
        #
        # @param why [Exception, Integer, nil] an error, or the status that the application gives
        def refused(connection, why, path: nil)
          return unless WebSocket.logger

          said = why.is_a?(Exception) ? { error: without_query(why.message) } : { status: why }
          tell(:warn, :refused, connection, path: path, **said)
        end

        # A client has broken a rule, or exceeded a limit; or a block has raised.
        #
        # @param error [Exception]
        def error(connection, error)
          return unless WebSocket.logger
          return refused(connection, error) if error.is_a?(HandshakeError)

          level = error.is_a?(WSProtocolError) ? :warn : :error
          path = Transport.of(connection).cold_state&.log&.path
          tell(level, :error, connection, path: path, class: error.class.name,
                                          error: error.message, at: place(error))
        end

        private

        def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

        # Tokens travel in queries.
        def without_query(message)
          message.b.sub(/\AInvalid request URI: [^?]*\K\?.*/mn, "?...")
        end

        # Line of the application's that has raised.
        def place(error)
          error.backtrace&.first unless error.is_a?(WSProtocolError)
        end

        def traffic(transport)
          names = %i[messages_in bytes_in messages_out bytes_out]
          native = transport.native
          native.equal?(transport) ? names.zip(native.traffic).to_h : {}
        end

        # EventMachine ends the process over a connection that it is just letting go of.
        def address(connection, transport)
          entry = transport.cold_state&.log
          return entry.ip if entry

          native = transport.native
          return transport.client_ip || native.peer&.first if native
          return unless Transport.socket?(connection)

          Connection.instance_method(:remote_ip).bind_call(connection)
        end

        # Logs a line; an exception here is no matter of the connection's.
        def tell(level, event, connection, **fields)
          id = Transport.get(connection, :@signature)
          ip = address(connection, Transport.of(connection))
          fields = { id: id, ip: ip, **fields }.compact
          WebSocket.logger&.public_send(level, LogLine.of(event, fields, WebSocket.log_format))
        rescue StandardError => e
          complain(e)
        end

        def complain(error)
          return if @complained

          @complained = true
          warn("em-websocket: the logger has raised #{error.class}: #{error.message}")
        rescue StandardError
          nil
        end
      end
    end
  end
end
