# frozen_string_literal: true

require_relative "native"
require_relative "options/tls_options"

module EventMachine
  module WebSocket
    # The certificates of a server: of its own `:tls_options`, and of those that its connections
    # give to `start_tls`. They are kept for as long as the server is, so that they are read once,
    # and sessions can be resumed.
    #
    # @api private
    class Certificates
      # The number of sets of options that are kept, those that were used last. An application may
      # make new ones for every connection.
      MOST = 16

      def initialize
        @kept = []
        @hosts = ObjectSpace::WeakMap.new
      end

      # The certificate of a set of options, read once; and again when its files have changed.
      #
      # @param options [#[]] EventMachine's keys
      # @return [Native::TlsConfig]
      # @raise [ArgumentError, EventMachine::FileNotFoundException] if no server can be made of them
      def config(options)
        given = TlsOptions.given(options, @hosts)
        index = @kept.index { |certificate| certificate.given == given }
        certificate = index ? @kept[index] : Certificate.new(given)
        config = certificate.config
        keep(certificate, index)
        config
      end

      # Reads all files again, changed or not. May be called from any thread, and in a signal
      # handler.
      #
      # @return [Array<StandardError>] why some could not be read: there the certificate that was
      #   read before goes on
      def reload
        @kept.dup.filter_map(&:reload)
      end

      # @return [Boolean] whether any certificate comes from files
      def files?
        @kept.dup.any?(&:files?)
      end

      private

      def keep(certificate, index)
        return if index&.zero?

        @kept.delete_at(index) if index
        @kept.unshift(certificate)
        @kept.pop if @kept.size > MOST
      end
    end

    # Certificate of one set of options, as it was read. One that is being replaced may be there
    # without its key for a while: until both are, the one before goes on.
    #
    # @api private
    class Certificate
      # Seconds until files are tried again that could not be read, as the reason may have been
      # another than the files; and until those of hosts are looked at again, which may be many.
      AGAIN = 1
      private_constant :AGAIN

      # @return [Array] the options, as TlsOptions.given has read them
      attr_reader :given

      # @param given [Array]
      def initialize(given)
        @given = TlsOptions.kept(given)
        @values = TlsOptions.values(@given)
        @paths = TlsOptions.files(@values)
        @paths_of_hosts = TlsOptions.files_of_hosts(@values)
      end

      # @return [Boolean]
      def files?
        @paths.any? || @paths_of_hosts.any?
      end

      # @return [Native::TlsConfig]
      # @raise [ArgumentError, EventMachine::FileNotFoundException] if there has never been one
      def config
        # Before they are read: what replaces them meanwhile is seen the next time.
        files = identities
        read(files) if @config.nil? || files != @files || (@failed_at && now - @failed_at > AGAIN)
        @config
      end

      # Reads the files again, changed or not.
      #
      # @return [StandardError, nil] why they could not be read
      def reload
        @looked_at = @failure = nil
        read(identities)
      end

      private

      # Identities of the files, which tell them from those before them.
      def identities
        own = @paths.map { |path| Native.file_identity(path) }
        return own if @paths_of_hosts.empty?

        if @looked_at.nil? || now - @looked_at > AGAIN
          @looked_at = now
          @of_hosts = @paths_of_hosts.map { |path| Native.file_identity(path) }
        end
        own << @of_hosts
      end

      def read(files)
        @config = Native::TlsConfig.new(@values)
        @files = files
        @failed_at = @failure = nil
        @config.warnings.each { |warning| tell(warning) }
        nil
      rescue ArgumentError, EventMachine::FileNotFoundException => e
        raise unless @config

        failed(files, e.message)
        e
      end

      # Said once of each change.
      def failed(files, message)
        failure = [files, message]
        tell("the certificate that was read before goes on: #{message}") if failure != @failure
        @files = files
        @failure = failure
        @failed_at = now
      end

      def tell(text)
        warn("em-websocket: #{text}")
      rescue ThreadError
        nil # In a signal handler, amid another write to the same stream.
      end

      def now
        Process.clock_gettime(Process::CLOCK_MONOTONIC)
      end
    end
  end
end
