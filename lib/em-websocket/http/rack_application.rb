# frozen_string_literal: true

require "stringio"
require_relative "../reactor"
require_relative "response_stream"

module EventMachine
  module WebSocket
    # The option `:rack`: an application of Rack 2 or 3 that answers plain HTTP, on EventMachine's
    # threads (`EM.defer`). Rack itself is not needed for that.
    #
    # @api private
    class RackApplication
      # Fields of a response that are this library's, or for the server alone.
      OWN = /\A(?:connection|content-length|keep-alive|transfer-encoding|trailer|upgrade
               |rack\..+)\z/ix
      private_constant :OWN

      # @param app [#call]
      # @return [RackApplication, nil]
      # @raise [ArgumentError] if it cannot be called
      def self.of(app)
        return if app == 0 # rubocop:disable Style/NumericPredicate -- it may be anything
        return new(app) if app.respond_to?(:call)

        raise ArgumentError, "rack: an object of #{app.class} is no application"
      end

      # @param app [#call]
      def initialize(app)
        @app = app
      end

      # Answers, later, and from another thread.
      #
      # @param request [HttpRequest]
      # @param response [HttpResponse]
      # @param connection [Connection]
      def call(request, response, connection)
        response.defer
        EventMachine.defer { respond(request, response, connection) }
      end

      private

      # Nothing leaves from here: an exception would end the reactor.
      def respond(request, response, connection)
        status, headers, body = @app.call(env(request))
        response.status = status.to_i
        add(headers, response)
        send_body(body, response)
        done = true
      rescue ResponseStream::Gone
        done = true
      rescue StandardError, ScriptError => e
        done = true
        response.fail
        tell(connection, e)
      ensure
        response.fail unless done
        close(body, connection)
      end

      # A value of several lines was several fields, in Rack 2.
      def add(headers, response)
        headers.each do |name, value|
          next if OWN.match?(name.to_s)

          response.headers[name.to_s] = value.is_a?(Array) ? value : value.to_s.split("\n")
        end
      end

      def send_body(body, response)
        if response.bodyless?
          response.stream&.close
        elsif body.respond_to?(:to_ary)
          response.body = body.to_ary.join
          response.finish
        elsif (stream = response.stream)
          write_parts(body, stream)
        end
      end

      def write_parts(body, stream)
        if body.respond_to?(:each)
          body.each { |part| stream.write(part) }
          stream.close
        else
          # It closes the stream, maybe later, and from another thread.
          body.call(stream)
        end
        whole = true
      ensure
        stream.abort unless whole
      end

      def close(body, connection)
        body.close if body.respond_to?(:close)
      rescue StandardError => e
        tell(connection, e)
      end

      # `onerror` is told on the reactor's thread; where there is none, the log is.
      def tell(connection, error)
        Reactor.schedule do
          connection.trigger_on_error(error) || warn("em-websocket: rack: #{error.full_message}")
        end
      end

      def env(request)
        host, port = authority(request)
        env = {
          "REQUEST_METHOD" => request.request_method, "SCRIPT_NAME" => "",
          "PATH_INFO" => request.path, "QUERY_STRING" => request.query_string,
          "SERVER_NAME" => host, "SERVER_PORT" => port,
          "SERVER_PROTOCOL" => request.http_version, "REMOTE_ADDR" => request.remote_ip,
          "REMOTE_PORT" => request.remote_port&.to_s,
          "rack.version" => [1, 6], "rack.url_scheme" => request.secure? ? "https" : "http",
          "rack.input" => StringIO.new(request.body), "rack.errors" => $stderr,
          "rack.multithread" => true, "rack.multiprocess" => false, "rack.run_once" => false,
          "rack.hijack?" => false
        }.compact
        fields(request, env)
        env["HTTP_VERSION"] = request.http_version
        env
      end

      # Fields of the request as Rack has them. Where two names would become one, as those with
      # underscores do, whoever a proxy keeps from setting the one would set the other; `Proxy`
      # would become a variable that HTTP clients heed.
      def fields(request, env)
        request.headers.each do |name, value|
          next if name.include?("_") || name.match?(/\A(?:proxy|transfer-encoding)\z/i)

          name = name.upcase.tr("-", "_")
          name = "HTTP_#{name}" unless %w[CONTENT_TYPE CONTENT_LENGTH].include?(name)
          value = Array(value).join(name == "HTTP_COOKIE" ? "; " : ", ")
          env[name] = env.key?(name) ? "#{env[name]}, #{value}" : value
        end
        # Of one that came in chunks, too.
        env["CONTENT_LENGTH"] = request.body.bytesize.to_s unless request.body.empty?
      end

      def authority(request)
        host, port = request.headers_downcased["host"].to_s.match(/\A(.*?)(?::(\d*))?\z/m).captures
        own_host, own_port = request.local
        host = own_host || "localhost" if host.empty?
        [host, port.to_s.empty? ? default_port(request, own_port) : port]
      end

      def default_port(request, own_port)
        return own_port.to_s if own_port && !request.headers_downcased.key?("host")

        request.secure? ? "443" : "80"
      end
    end
  end
end
