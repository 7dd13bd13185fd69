# frozen_string_literal: true

require_relative "../debugger"
require_relative "built_ins"
require_relative "rack_application"
require_relative "request"
require_relative "response"

module EventMachine
  module WebSocket
    # One plain HTTP request, from when it has come to when it is answered, and who answers it: the
    # path's entry of `:http`, the block of {Connection#onhttp}, or the application of `:rack`.
    #
    # @api private
    class HttpExchange
      # em-websocket answers the health checks of load balancers, of every path that begins so.
      HEALTHCHECK = "/healthcheck"
      private_constant :HEALTHCHECK

      # @param options [Options] of a connection
      # @param state [Transport::ColdState, nil]
      # @return [Boolean] whether plain HTTP is for the application
      def self.wanted?(options, state)
        options[:http] || options[:rack] || state&.onhttp ? true : false
      end

      # @param connection [Connection]
      # @param native [Native::Connection]
      # @param request [HttpRequest]
      # @param options [Options]
      # @param server [BackgroundServer]
      def initialize(connection, native, request, options, server)
        @connection = connection
        @native = native
        @request = request
        @options = options
        @server = server
        @response = HttpResponse.new(request, native) { native.cold_state&.http = nil }
        native.cold_state!.http = self
      end

      # Has it answered. Whatever leaves from here, an exception of any kind or a throw, is answered
      # with 500.
      def handle
        answer
        @response.finish unless @response.deferred? || @response.answered?
        done = true
      rescue StandardError => e
        Debugger.tell(@connection, [:error, e])
        Log.error(@connection, e)
        @response.fail
        done = true
        @connection.trigger_on_error(e) || raise(e)
      ensure
        @response.fail unless done
      end

      private

      def answer
        entry = @options[:http]&.entry(@request.path)
        return route(entry) if entry
        return healthcheck if healthcheck?

        block = @native.cold_state.onhttp
        return block.call(@request, @response) if block

        rack = @options[:rack]
        return rack.call(@request, @response, @connection) if rack

        not_found
      end

      def route(entry)
        return BuiltIns.answer(entry, @request, @response, @server) if entry.is_a?(BuiltIn)

        answer_as(entry.is_a?(String) ? entry : entry.call(@request))
      end

      # Answers with what a callable of `:http` has returned.
      def answer_as(result)
        case result
        when nil then not_found
        when Integer then @response.status = result
        when String then @response.body = result
        when Array
          @response.status, headers, @response.body = result
          @response.headers.update(headers || {})
          @response.body ||= ""
        else raise TypeError, "http: an object of #{result.class} is no response"
        end
      end

      def not_found
        @response.status = 404
        @response.body = "Not Found"
      end

      def healthcheck?
        @request.path.start_with?(HEALTHCHECK) && @request.request_method == "GET"
      end

      # The application may have made the hook its own.
      def healthcheck
        @native.cold_state.http = nil
        @response.defer
        @connection.send_healthcheck_response
      end
    end
  end
end
