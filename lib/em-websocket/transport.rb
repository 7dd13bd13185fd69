# frozen_string_literal: true

require_relative "native"

module EventMachine
  module WebSocket
    # The way the bytes of a {Connection} come. A connection keeps all that is this library's, and
    # not em-websocket's, in one instance variable: `@em_websocket` holds its transport, a
    # {Native::Connection} in the background, an {AttachedConnection} where the bytes pass through
    # Ruby.
    #
    # All other names are the application's, of instance variables and of methods: nothing here
    # calls a method of a connection that is neither em-websocket's nor EventMachine's nor
    # documented, not even one of Ruby's.
    #
    # @api private
    module Transport
      GET = Kernel.instance_method(:instance_variable_get)
      SET = Kernel.instance_method(:instance_variable_set)
      METHOD = Kernel.instance_method(:method)

      private_constant :GET, :SET, :METHOD

      class << self
        # @param connection [Connection]
        # @return [Native::Connection, AttachedConnection]
        def of(connection)
          get(connection, :@em_websocket) || set(connection, :@em_websocket, AttachedConnection.new)
        end

        # @param connection [Connection]
        # @param name [Symbol] of an instance variable
        def get(connection, name)
          GET.bind_call(connection, name)
        end

        # @param connection [Connection]
        # @param name [Symbol] of an instance variable
        def set(connection, name, value)
          SET.bind_call(connection, name, value)
        end

        # @param connection [Connection]
        # @param name [Symbol]
        # @return [Method]
        def method_of(connection, name)
          METHOD.bind_call(connection, name)
        end

        # @param connection [Connection]
        # @return [Boolean] whether answers that name the URL name it `wss://`
        def secure?(connection)
          get(connection, :@secure) || get(connection, :@secure_proxy) ? true : false
        end

        # A connection that an application has made by itself has no socket, and EventMachine does
        # not know it.
        #
        # @param connection [Connection]
        # @return [Boolean]
        def socket?(connection)
          return true if get(connection, :@em_websocket)&.native

          Reactor.knows?(get(connection, :@signature))
        end

        # An application's own callback has raised: 3000 is what RFC 6455 leaves to frameworks.
        #
        # @param connection [Connection]
        # @param error [StandardError]
        def application_error(connection, error)
          Debugger.tell(connection, [:error, error])
          Log.error(connection, error)
          close_unasked(connection, 3000, "Application error")
          connection.trigger_on_error(error) || raise(error)
        end

        # A close that the application has not asked for, and does not know of.
        #
        # @param connection [Connection]
        # @param code [Integer]
        # @param body [String, nil]
        def close_unasked(connection, code, body)
          get(connection, :@handler)&.unasked
          connection.__send__(:close_websocket_private, code, body)
        end

        # EventMachine's connection is ended by its signature: what is gathered goes first.
        #
        # @param connection [Object] whatever EventMachine has
        def ends(connection)
          transport = machines(connection)
          transport&.flush_batch
          transport&.ended = true
        end

        # EventMachine's connection is gone. Its own `unbind` may be the application's.
        #
        # @param connection [Object] whatever EventMachine has
        def gone(connection)
          machines(connection)&.gone(connection)
        end

        # The application has been told so.
        #
        # @param connection [Object] whatever EventMachine has
        def left(connection)
          Log.closed(connection, machines(connection)) if WebSocket.logger
        end

        private

        # The transport of a connection on a socket of EventMachine's.
        def machines(connection)
          # Whatever methods others have made anew.
          get(connection, :@em_websocket) if Connection === connection # rubocop:disable Style/CaseEquality
        end
      end
    end
  end
end
